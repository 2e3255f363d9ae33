import { availableParallelism } from "node:os"
import { setFlagsFromString } from "node:v8"

/**
 * How the process of a node is started. LevelDB, fdatasync and name lookups share libuv's thread pool; with the default
 * of four threads a compaction can hold up the log. The pool takes its size from the environment when it is first used,
 * which is before any of our code runs: so the parent, the unit file or the shell must set it.
 */
const THREADS = 16
/** Up to this many cores V8's helpers take more from the other threads than their shorter pauses give. */
const FEW_CORES = 4

/**
 * V8 copies young objects with four helpers beside the main thread, however few cores there are. Three nodes on two cores
 * spent 13 µs a write in these helpers, and the main threads were not quicker for it. Call it before the node starts.
 */
export const spareFewCores = (cores = availableParallelism()): void => {
  // Bun has another engine, and Deno takes flags at its start only.
  if (cores <= FEW_CORES && !("bun" in process.versions) && !("deno" in process.versions))
    setFlagsFromString("--no-parallel-scavenge")
}

export const launchEnvironment = (env: Readonly<NodeJS.ProcessEnv> = process.env): NodeJS.ProcessEnv => ({
  ...env,
  UV_THREADPOOL_SIZE: String(THREADS),
})

/** null if the process was started with enough threads. */
export const threadAdvice = (env: Readonly<NodeJS.ProcessEnv> = process.env): string | null =>
  Number(env["UV_THREADPOOL_SIZE"] ?? 4) >= THREADS
    ? null
    : `start this process with UV_THREADPOOL_SIZE=${THREADS} in its environment: with fewer threads a busy database can hold up the log`
