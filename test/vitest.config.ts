import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

const processes = "test/process.*.test.ts"

const all = process.env["STEPRAFT_ALL"] !== undefined

/** Long tests begin first: other workers would wait for one that began last. */
const long = ["scenario.k", "node.lives", "cli.", "machine.", "scripts.worlds", "core.paper.clock"]
class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = long.findIndex((name) => moduleId.includes(`/test/${name}`))
      return at < 0 ? long.length : at
    }
    return Promise.resolve(files.toSorted((a, b) => rank(a) - rank(b)))
  }
}

/**
 * Two projects: everything in one process, and tests of whole clusters of processes. Short ones run three at a time,
 * because they mostly wait; long ones one after the other.
 */
export default defineConfig({
  root: dirname(dirname(fileURLToPath(import.meta.url))),
  test: {
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    reporters: ["default", "./test/scenario.reporter.ts"],
    projects: [
      {
        test: {
          name: "fast",
          environment: "node",
          isolate: false,
          include: ["test/**/*.test.ts"],
          exclude: [processes],
          testTimeout: all ? 1_800_000 : 60_000,
        },
      },
      {
        test: {
          name: "processes",
          environment: "node",
          isolate: false,
          include: [processes],
          exclude: all ? [] : ["test/*.long.test.ts"],
          fileParallelism: !all,
          maxWorkers: all ? 2 : 3,
          sequence: { groupOrder: 1 },
          testTimeout: all ? 3_600_000 : 300_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
