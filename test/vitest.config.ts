import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const processes = "test/process.*.test.ts"

const all = process.env["STEPRAFT_ALL"] !== undefined

/**
 * Two projects: everything in one process, and tests of whole clusters of processes. The long ones measure times, so they
 * run one after the other; the short ones only wait.
 */
export default defineConfig({
  root: dirname(dirname(fileURLToPath(import.meta.url))),
  test: {
    maxWorkers: 2,
    reporters: ["default", "./test/scenario.reporter.ts"],
    projects: [
      { test: { name: "fast", environment: "node", isolate: false, include: ["test/**/*.test.ts"], exclude: [processes], testTimeout: all ? 1_800_000 : 60_000 } },
      {
        test: {
          name: "processes", environment: "node", include: [processes], fileParallelism: !all,
          testTimeout: all ? 3_600_000 : 300_000, hookTimeout: 120_000,
        },
      },
    ],
  },
})
