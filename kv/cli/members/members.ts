/**
 * `stepraft member …` and `stepraft leader transfer`: asks one node repeatedly until the change is complete, and prints
 * its progress.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { MemberList, MemberView } from "../../../interpreters/members/index.ts"
import { paintFor, type Paint } from "../../../interpreters/cli/paint.ts"
import { exitCodes, failure } from "../../../interpreters/cli/runtime.ts"
import { clientsOf, showEndpoint, type Endpoint } from "../../client/endpoints.ts"
import type { Reply } from "../../types.ts"
import { ask, askStatus } from "../ask.ts"
import { recordedClients } from "../cluster/layout.ts"

export interface Asking {
  readonly endpoints: readonly Endpoint[]
  readonly output: "table" | "json"
}

/**
 * One question waits this long at the node, so that progress is visible and an interrupted command starts no further
 * step.
 */
const STEP_MS = 500
const SLACK_MS = 5000
/** Beyond the time that it was given to wait. */
const HANGS_MS = 250
const PAUSE_MS = 200

const bytesOf = (reply: Reply): string => (reply.type === "bulk" ? Buffer.from(reply.bytes).toString() : "")
const endpointsFor = (given: readonly Endpoint[]): readonly Endpoint[] => {
  const recorded = given.flatMap((endpoint) => recordedClients(".stepraft", endpoint).map(([address]) => address))
  const known = new Set(given.map(showEndpoint))
  return [
    ...given,
    ...recorded
      .filter((address) => !known.has(address))
      .flatMap((address) => {
        const at = address.lastIndexOf(":")
        return [{ host: address.slice(0, at), port: Number(address.slice(at + 1)) }]
      }),
  ]
}
interface Answered {
  readonly reply: Reply
  readonly endpoint: Endpoint
}
/**
 * The first answer of all. One that is silent may hang: then the next one is asked too, and what is asked may be asked twice.
 * Rejects with why the last one did not answer.
 */
const askAny = (endpoints: readonly Endpoint[], words: readonly string[]): Promise<Answered> =>
  new Promise((resolve, reject) => {
    let asked = 0
    let open = 0
    const over = new AbortController()
    const next = (why: string): void => {
      const endpoint = endpoints[asked++]
      if (endpoint === undefined) {
        if (open === 0) reject(failure(`no node answers: ${why}`))
        return
      }
      open += 1
      const hangs = setTimeout(() => next(""), STEP_MS + HANGS_MS)
      ask(endpoint, words, STEP_MS + SLACK_MS, over.signal).then(
        (reply) => {
          clearTimeout(hangs)
          resolve({ reply, endpoint })
          // Questions that hang would keep this program from its end.
          over.abort()
        },
        (error: unknown) => {
          clearTimeout(hangs)
          open -= 1
          if (!over.signal.aborted) next(error instanceof Error ? error.message : String(error))
        },
      )
    }
    next("no node was given")
  })
const others = (all: readonly Endpoint[], one: Endpoint): readonly Endpoint[] =>
  all.filter((each) => showEndpoint(each) !== showEndpoint(one))
/** All that are known once this one has said whom it knows. */
const withItsPeers = async (all: readonly Endpoint[], one: Endpoint): Promise<readonly Endpoint[]> => {
  const status = await askStatus(one, STEP_MS).catch(() => null)
  const told = status === null ? [] : clientsOf(status)
  return [...all, ...told.filter((each) => others(all, each).length === all.length)]
}

/** Errors after which the same request may be sent again: the change is not complete yet. */
const UNDONE: ReadonlySet<string> = new Set(["UNFINISHED", "NOLEADER", "UNKNOWN", "LOADING"])

/** What the node says of the last step; the user waited for all of them. */
const WITHIN = /^not done within [\d.]+ s:/u
export const carryOut = async (
  words: readonly string[],
  timeoutMs: number,
  { endpoints, output }: Asking,
  signal: AbortSignal,
): Promise<void> => {
  let all = endpointsFor(endpoints)
  let learnt = false
  const until = performance.now() + timeoutMs
  let told = ""
  for (;;) {
    const { reply, endpoint } = await askAny(all, [...words, "WAIT", String(Math.min(STEP_MS, timeoutMs))])
    if (reply.type === "simple") {
      process.stdout.write(
        output === "json" ? `${JSON.stringify({ done: true, text: reply.text })}\n` : `${reply.text}\n`,
      )
      return
    }
    const [code, text] =
      reply.type === "error" ? [reply.code, reply.text] : ["ERR", "an unexpected answer to this command"]
    if (!UNDONE.has(code) || performance.now() >= until || signal.aborted) {
      if (output === "json") process.stdout.write(`${JSON.stringify({ done: false, code, text })}\n`)
      throw failure(output === "json" ? "" : text.replace(WITHIN, `not done within ${timeoutMs / 1000} s:`))
    }
    // Only what it waits for, without the advice about a timeout that the user did not set.
    const what = /^not done within [\d.]+ s: (.*?)\. (?:What was begun|Nothing was changed)/u.exec(text)?.[1] ?? text
    if (what !== told) process.stderr.write(`${what}\n`)
    told = what
    if (!learnt) all = await withItsPeers(all, endpoint)
    learnt = true
    // The node answers, so it is asked first. But a node that knows no leader may be cut off from it, so it is asked
    // last.
    all =
      code === "NOLEADER" || code === "LOADING"
        ? [...others(all, endpoint), endpoint]
        : [endpoint, ...others(all, endpoint)]
    await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined)
  }
}

const number = (value: number | null): string => (value === null ? "–" : value.toLocaleString("en"))
const columns: readonly (readonly [title: string, of: (member: MemberView) => string])[] = [
  ["MEMBER", ({ name }) => name],
  ["ROLE", ({ role, leads }) => (leads ? "leader" : role)],
  ["ADDRESS", ({ address }) => address ?? "–"],
  ["REACHABLE", ({ reachable, cameBackAs }) => (cameBackAs !== null ? "lost its disk" : reachable ? "yes" : "no")],
  ["MATCH", ({ matchIndex }) => number(matchIndex)],
  ["LAG", ({ lag, snapshotSent }) => (snapshotSent === null ? number(lag) : `snapshot, ${number(snapshotSent)} bytes`)],
  ["INCARNATION", ({ incarnation }) => incarnation],
]
const tableOf = (list: MemberList, paint: Paint): string => {
  const rows = [columns.map(([title]) => title), ...list.members.map((member) => columns.map(([, of]) => of(member)))]
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  )
  const painted = lines.map((line, i) => {
    const member = list.members[i - 1]
    if (member === undefined) return paint.dim(line)
    return member.cameBackAs !== null
      ? paint.red(line)
      : member.reachable
        ? member.leads
          ? paint.green(line)
          : line
        : paint.yellow(line)
  })
  const lost = list.members
    .filter(({ cameBackAs }) => cameBackAs !== null)
    .map(({ name }) => `${name} came back with an empty directory: stepraft member replace ${name}`)
  const waiting = list.waiting.map(
    ({ name, address }) =>
      `${name}${address === null ? "" : ` at ${address}`} is running but is not a member: stepraft member add ${name}`,
  )
  const more = [
    ...(list.leader === null ? [`no leader is known: this is what ${list.asSeenBy} knows`] : []),
    ...(list.changing ? ["a change is being committed"] : []),
    ...lost,
    ...waiting,
  ]
  return [...painted, ...(more.length === 0 ? [] : ["", ...more])].join("\n")
}

/**
 * Exit code 0 if there is a leader and every member is reachable with the directory that the cluster knows, otherwise
 * 1.
 */
export const printMembers = async ({ endpoints, output }: Asking): Promise<void> => {
  const { reply } = await askAny(endpointsFor(endpoints), ["STEPRAFT", "MEMBER", "LIST"])
  if (reply.type === "error") throw failure(`${reply.code} ${reply.text}`)
  const found = JSON.parse(bytesOf(reply)) as MemberList
  process.stdout.write(`${output === "json" ? JSON.stringify(found) : tableOf(found, paintFor(process.stdout))}\n`)
  if (found.leader === null || found.members.some(({ reachable, cameBackAs }) => !reachable || cameBackAs !== null))
    throw failure("", exitCodes.failed)
}
