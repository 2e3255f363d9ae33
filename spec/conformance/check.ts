/** The parts of a conformance suite: named checks, each with what it demands and why, and a report on them. */

export interface ConformanceCheck {
  readonly name: string
  readonly demands: string
  /** What goes wrong in a cluster without it. */
  readonly why: string
  /** Rejects with ConformanceFailed. */
  readonly run: () => Promise<void>
  /** Not null: why the check cannot be run on this interpreter. Then `run` does nothing. */
  readonly skipped: string | null
}

/** The interpreter violates its contract. */
export class ConformanceFailed extends Error {
  override readonly name = "ConformanceFailed"
  readonly check: string
  readonly found: string
  constructor(
    { name, demands, why }: Pick<ConformanceCheck, "name" | "demands" | "why">,
    found: string,
    cause?: unknown,
  ) {
    super(`${name}: ${found}.\n  Demanded: ${demands}\n  Why: ${why}`, cause === undefined ? {} : { cause })
    this.check = name
    this.found = found
  }
}

/** Thrown by the body of a check, which does not know the check's name. */
class Broken extends Error {}
/** Fails the check: `found` says what was found, without a period. */
export const failCheck = (found: string): never => {
  throw new Broken(found)
}
export const demand = (fulfilled: boolean, found: () => string): void => {
  if (!fulfilled) failCheck(found())
}
/** Equal as plain data. Byte arrays of any kind are equal if their bytes are. */
export const demandEqual = (what: string, found: unknown, wanted: unknown): void => {
  const [a, b] = [plainText(found), plainText(wanted)]
  demand(a === b, () => `${what} is ${short(a)}, expected ${short(b)}`)
}
const hex = (bytes: Uint8Array): string =>
  bytes.length > 1024
    ? `${bytes.length} bytes, ${bytesDigest(bytes)}`
    : Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
export const plainText = (value: unknown): string =>
  value instanceof Uint8Array
    ? `<${hex(value)}>`
    : Array.isArray(value)
      ? `[${value.map(plainText).join(", ")}]`
      : typeof value === "object" && value !== null
        ? `{${Object.entries(value)
            .filter(([, part]) => part !== undefined)
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, part]) => `${key}: ${plainText(part)}`)
            .join(", ")}}`
        : typeof value === "bigint" || value === undefined
          ? String(value)
          : JSON.stringify(value)
const short = (text: string): string => (text.length <= 400 ? text : `${text.slice(0, 300)} … ${text.slice(-80)}`)
/** FNV-1a of the bytes: only to distinguish contents in a message. */
export const bytesDigest = (bytes: Uint8Array): string => {
  let sum = 0x811c9dc5
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193)
  return (sum >>> 0).toString(16)
}

/** Far longer than a working interpreter needs, so that a check never hangs. */
const LIMIT_MS = 30_000
export const sleep = (millis: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, millis))
/** Waits for a condition, never for a fixed time. */
export const until = async (what: string, fulfilled: () => boolean, limit = LIMIT_MS): Promise<void> => {
  const end = performance.now() + limit
  while (!fulfilled()) {
    if (performance.now() > end) failCheck(`waited ${limit / 1000} s in vain until ${what}`)
    await sleep(1)
  }
}
/** Waits for some turns of the event loop, to show that something does not happen. */
export const eventLoopTurns = async (count = 5): Promise<void> => {
  for (let i = 0; i < count; i++) await sleep(0)
}

export interface ConformanceOptions {
  /** Checks that cannot be run on this interpreter, or that it cannot pass for a good reason: name and reason. They are reported as skipped. */
  readonly except?: Readonly<Record<string, string>>
  /** The seed of the random cases. Default 1. */
  readonly seed?: number
}

/** Fails if the subject cannot stage what the check needs. */
export const requireStaging = <A>(what: string, able: A | undefined): A =>
  able ??
  failCheck(
    `the subject has no \`${what}\`: give it one, or name this check in \`except\` with the reason why that cannot be staged`,
  )

export type Wanted = Pick<ConformanceCheck, "name" | "demands" | "why"> & { readonly run: () => Promise<void> }
export const checksOf = (
  wanted: readonly Wanted[],
  { except = {} }: ConformanceOptions,
): readonly ConformanceCheck[] => {
  const unknown = Object.keys(except).filter((name) => wanted.every((check) => check.name !== name))
  if (unknown.length > 0)
    throw new RangeError(
      `there is no check ${unknown.join(", ")}. The names are: ${wanted.map(({ name }) => name).join("; ")}`,
    )
  return wanted.map(({ name, demands, why, run }) => {
    const skipped = except[name] ?? null
    return {
      name,
      demands,
      why,
      skipped,
      run: async () => {
        if (skipped !== null) return
        try {
          await run()
        } catch (error) {
          throw new ConformanceFailed(
            { name, demands, why },
            error instanceof Broken
              ? error.message
              : `it threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
            error,
          )
        }
      },
    }
  })
}

export interface ConformanceResult extends Pick<ConformanceCheck, "name" | "demands" | "why"> {
  readonly outcome: "passed" | "failed" | "skipped"
  /** What was found, or why it was skipped; empty if it passed. */
  readonly detail: string
}
export interface ConformanceReport {
  readonly ok: boolean
  readonly results: readonly ConformanceResult[]
  /** For people: a line for each check, and more for those that failed. */
  readonly text: string
}
/** Runs every check, one after the other. With a test runner, register `check.run` under `check.name` instead. */
export const runConformance = async (checks: readonly ConformanceCheck[]): Promise<ConformanceReport> => {
  const results: ConformanceResult[] = []
  for (const { name, demands, why, skipped, run } of checks) {
    const told = { name, demands, why }
    if (skipped !== null) results.push({ ...told, outcome: "skipped", detail: skipped })
    else
      results.push(
        await run().then(
          () => ({ ...told, outcome: "passed" as const, detail: "" }),
          (error: unknown) => ({
            ...told,
            outcome: "failed" as const,
            detail: error instanceof ConformanceFailed ? error.found : String(error),
          }),
        ),
      )
  }
  const line = ({ name, outcome, detail, demands, why }: ConformanceResult): string =>
    outcome === "failed"
      ? `failed   ${name}: ${detail}\n         demanded: ${demands}\n         why: ${why}`
      : `${outcome.padEnd(8)} ${name}${detail === "" ? "" : `: ${detail}`}`
  return { ok: results.every(({ outcome }) => outcome !== "failed"), results, text: results.map(line).join("\n") }
}
