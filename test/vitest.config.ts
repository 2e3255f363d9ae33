import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const processes = "test/process.*.test.ts"

const all = process.env["STEPRAFT_ALL"] !== undefined

/** Two projects: everything in one process, and tests of whole clusters of processes, one after the other: two clusters at once only wait for each other. */
export default defineConfig({
  root: dirname(dirname(fileURLToPath(import.meta.url))),
  test: {
    // Many of the short tests wait for something most of their time.
    maxWorkers: all ? 2 : 3,
    reporters: ["default", "./test/scenario.reporter.ts"],
    projects: [
      { test: { name: "fast", environment: "node", isolate: false, include: ["test/**/*.test.ts"], exclude: [processes], testTimeout: all ? 1_800_000 : 60_000 } },
      {
        test: {
          name: "processes", environment: "node", isolate: false, include: [processes], exclude: all ? [] : ["test/*.long.test.ts"], fileParallelism: false, sequence: { groupOrder: 1 },
          testTimeout: all ? 3_600_000 : 300_000, hookTimeout: 120_000,
        },
      },
    ],
  },
})
