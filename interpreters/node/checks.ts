/**
 * /livez and /readyz: whether a node is alive, and whether it can serve, as a list of named checks. Their texts come
 * from health.ts.
 */
import type { Driver } from "../driver/index.ts"
import { memberRole, problemsOf, type Facts, type Reason } from "./health.ts"

export interface CheckSubject {
  readonly facts: Facts
  /** null: the driver does not run yet. */
  readonly driver: Pick<Driver, "read" | "state"> | null
}
/** null: passed; otherwise the reason. */
export type Check = (asked: CheckSubject) => string | null | Promise<string | null>

/**
 * A restart does not help a slow disk. But whatever watches the node may count it as dead if it does not answer for
 * that long.
 */
const DEAD_DISK_MS = 30_000
/** Confirming a read takes a round trip. */
const READ_MS = 1000
const LOOK_MS = 10

/** A check that fails if health gives one of these reasons. */
const none =
  (...reasons: readonly Reason[]): Check =>
  ({ facts }) =>
    problemsOf(facts).find(({ reason }) => reasons.includes(reason))?.text ?? null

const member: Check = (asked) => {
  const { state, self } = asked.facts
  const trouble = none("refused", "amnesiac", "removed")(asked)
  if (trouble === null && state !== null && memberRole(state) === "learner")
    return `${self.name} is a learner: it receives the log and has no vote. It is ready once it is promoted.`
  return trouble
}

/**
 * Checks that the cluster confirms a read here, and that the state has reached its index. There is one read at a time,
 * however many clients ask.
 */
const confirmed = async (driver: Pick<Driver, "read" | "state">): Promise<string | null> => {
  const until = performance.now() + READ_MS
  let answer: { readonly index: number } | { readonly refused: string } | null = null
  driver.read(
    (outcome) => (answer = outcome.type === "ReadReady" ? { index: outcome.index } : { refused: outcome.reason }),
  )
  return new Promise((resolve) => {
    const end = (text: string | null): void => {
      clearInterval(looking)
      resolve(text)
    }
    const looking = setInterval(() => {
      if (answer !== null && "refused" in answer) return end(`a linearizable read is refused: ${answer.refused}`)
      if (answer !== null && driver.state().applied >= answer.index) return end(null)
      if (performance.now() < until) return
      end(
        answer === null
          ? `no majority has confirmed a read within ${READ_MS} ms`
          : `the state is behind the log: entry ${driver.state().applied} is executed, a read needs ${answer.index}`,
      )
    }, LOOK_MS)
  })
}
const read = (): Check => {
  let asked: Promise<string | null> | null = null
  return ({ facts: { stopping, failed, refused }, driver }) => {
    if (driver === null || stopping || failed !== null || refused !== null)
      return "this node does not serve clients (see the other checks)"
    asked ??= confirmed(driver).finally(() => (asked = null))
    return asked
  }
}

/** Only problems of this node alone count here. That it answers at all proves that its event loop runs. */
export const livez: Readonly<Record<string, Check>> = {
  loop: none("failed"),
  disk: ({
    facts: {
      pending: { ms, wanting },
    },
  }) =>
    wanting === null && ms > DEAD_DISK_MS
      ? `the disk has been at work on one write to the log for ${Math.round(ms / 1000)} s`
      : null,
}
export const readyz = (): Readonly<Record<string, Check>> => ({
  started: none("failed", "stopping", "starting", "forming"),
  member,
  data: none("rebuilding", "data wait"),
  disk: none("log waits", "disk slow"),
  leader: none("no leader"),
  read: read(),
})

export interface Checked {
  readonly passed: boolean
  readonly text: string
}
/** One check by its name, or all that are not excluded. */
export const runChecks = async (
  what: string,
  checks: Readonly<Record<string, Check>>,
  asked: CheckSubject,
  { verbose, exclude }: { readonly verbose: boolean; readonly exclude: ReadonlySet<string> },
): Promise<Checked> => {
  const names = Object.keys(checks).filter((name) => !exclude.has(name))
  const results = await Promise.all(names.map(async (name) => ({ name, why: await checks[name]?.(asked) })))
  const failed = results.filter(({ why }) => why != null)
  const shown = verbose || failed.length > 0 ? results : []
  const lines = shown.map(({ name, why }) =>
    why == null ? `[+]${name} ok\n` : `[-]${name} failed: ${why.replaceAll("\n", " ")}\n`,
  )
  return {
    passed: failed.length === 0,
    text: `${lines.join("")}${lines.length === 0 ? "ok" : `${what} check ${failed.length === 0 ? "passed" : "failed"}`}\n`,
  }
}
