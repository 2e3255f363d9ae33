/**
 * How the process of a node is started. LevelDB, fdatasync and name lookups share libuv's thread pool; with the default
 * of four threads a compaction can hold up the log. The pool takes its size from the environment when it is first used,
 * which is before any of our code runs: so the parent, the unit file or the shell must set it.
 */
const THREADS = 16

export const launchEnvironment = (env: Readonly<NodeJS.ProcessEnv> = process.env): NodeJS.ProcessEnv => ({
  ...env,
  UV_THREADPOOL_SIZE: String(THREADS),
})

/** null if the process was started with enough threads. */
export const threadAdvice = (env: Readonly<NodeJS.ProcessEnv> = process.env): string | null =>
  Number(env["UV_THREADPOOL_SIZE"] ?? 4) >= THREADS
    ? null
    : `start this process with UV_THREADPOOL_SIZE=${THREADS} in its environment: with fewer threads a busy database can hold up the log`
