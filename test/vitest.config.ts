import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import { longFiles } from "./suites.ts"

const all = process.env["STEPRAFT_ALL"] !== undefined

const processes = "test/process.*.test.ts"
/** Long ones that mostly wait, and measure no times: they may run beside each other. */
const waiting = "test/process.{alerts,doctor,examples,packed,prometheus,replicate,runtimes,workers}.long.test.ts"

/** Long tests begin first: other workers would wait for one that began last. */
const long = [
  "process.doctor",
  "process.examples",
  "process.alerts",
  "process.",
  "scenario.k",
  "node.lives",
  "cli.",
  "machine.",
  "scripts.worlds",
  "core.paper.clock",
]
class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = long.findIndex((name) => moduleId.includes(`/test/${name}`))
      return at < 0 ? long.length : at
    }
    return Promise.resolve(files.toSorted((a, b) => rank(a) - rank(b)))
  }
}

const environment = { environment: "node", isolate: false, hookTimeout: 120_000 }

/** `npm run test:all`: the long versions, and only the files that have some. One cluster of processes at a time, where times are measured. */
const longProjects = [
  {
    test: {
      ...environment,
      name: "fast",
      include: longFiles().filter((file) => !file.startsWith("test/process.")),
      testTimeout: 1_800_000,
    },
  },
  {
    test: {
      ...environment,
      name: "processes that wait",
      include: [waiting],
      sequence: { groupOrder: 1 },
      testTimeout: 3_600_000,
    },
  },
  {
    test: {
      ...environment,
      name: "processes",
      include: longFiles().filter((file) => file.startsWith("test/process.")),
      exclude: [waiting],
      fileParallelism: false,
      sequence: { groupOrder: 2 },
      testTimeout: 3_600_000,
    },
  },
]

/**
 * `npm test`: everything in one process, and tests of whole clusters of processes. Three at a time, for many of them
 * wait; none of them judges how long something took.
 */
const projects = [
  { test: { ...environment, name: "fast", include: ["test/**/*.test.ts"], exclude: [processes], testTimeout: 60_000 } },
  {
    test: {
      ...environment,
      name: "processes",
      include: [processes],
      exclude: ["test/*.long.test.ts"],
      testTimeout: 300_000,
    },
  },
]

export default defineConfig({
  root: dirname(dirname(fileURLToPath(import.meta.url))),
  test: {
    maxWorkers: all ? 2 : 3,
    sequence: { sequencer: LongestFirst },
    reporters: ["default", "./test/scenario.reporter.ts"],
    projects: all ? longProjects : projects,
  },
})
