/** Opens a trace, a saved scenario or a fresh world for stepping through it. */
import { openSession, readTraceFile, replayTrace, runLines, runPiped, runTerminal, TraceUnreadable, writeScenario, type Face, type Replayed, type Session, type Trace } from "../../interpreters/debugger/index.ts"
import { MOST_NODES, type Script } from "../../interpreters/simulation/index.ts"
import { checkScript, generateScript, invariants, type Profile } from "../../spec/index.ts"
import { exitCodes, failure } from "./runtime.ts"

export interface DebugOptions {
  readonly file: string | null
  readonly seed: number
  readonly profile: Profile | null
  readonly nodes: number
  /** Commands to run instead of reading them; null: from the terminal or the pipe. */
  readonly commands: string | null
}

const open = (file: string): Trace => {
  try {
    return readTraceFile(file)
  } catch (error) {
    if (error instanceof TraceUnreadable) throw failure(`${file}: ${error.message}`, 3)
    throw failure(`${file} cannot be opened: ${error instanceof Error ? error.message : String(error)}`, 3)
  }
}

const replayedText = ({ steps, hashes, events, difference, stopped }: Replayed): string =>
  difference !== null
    ? `it replays otherwise here: ${difference}. What follows is this version's world`
    : `it replays: ${steps} steps, ${hashes} hashes and ${events} events as written${stopped === null ? "" : `; then: ${stopped}`}`

/** What only the end of a world shows: no invariant of a step. */
const AT_THE_END: readonly string[] = ["Liveness", "EveryRefAnswered", "Linearizability"]

/** What has become of a violation that no step shows. */
const unseen = (name: string, script: Script): string => {
  if (AT_THE_END.includes(name)) return `${name} was violated at its end: no single step shows it, this is the last one`
  if (!Object.hasOwn(invariants, name)) return `${name} was violated, and no step shows it here: a session looks at the invariants, and at what the reducer throws. This is the last step`
  const verdict = checkScript(script)
  return !verdict.ok && verdict.violation === name ? `${name} is violated at its end: no single step shows it, this is the last one` : `${name} was violated when this was written, and is not violated any more: this is the last step`
}

/** At the violation if the trace tells of one, else at the beginning. */
const start = (session: Session, trace: Trace | null): string => {
  if (trace === null || trace.violation === null) return ""
  session.finish()
  const { violation } = session.frame()
  return violation === null ? unseen(trace.violation.name, trace.script) : `${violation.name} is violated here; back shows how it came to be`
}

export const debug = async ({ file, seed, profile, nodes, commands }: DebugOptions): Promise<void> => {
  if (nodes > MOST_NODES) throw failure(`--nodes must be at most ${MOST_NODES}, not ${nodes}`, exitCodes.usage)
  const trace = file === null ? null : open(file)
  const fresh: Script = { seed, options: { nodes, connections: true }, actions: [] }
  const script = trace?.script ?? (profile === null ? fresh : generateScript(seed, profile, { nodes }))
  const session = openSession(script)
  const save: Face["save"] = (path, at) => {
    const { violation, world } = at.frame()
    writeScenario(path, at.script(), { hash: { i: world.steps, hash: at.hash() }, violation: violation === null ? null : { name: violation.name, at: Math.max(0, world.steps - 1) } })
    return `saved; stepraft debug ${path} opens it`
  }
  const { stdin: input, stdout: output } = process
  const opened = [trace === null ? "" : replayedText(replayTrace(trace)), start(session, trace)].filter((line) => line !== "").join("\n")
  const face: Face = { input, output, save }
  if (commands === null && input.isTTY && output.isTTY) return runTerminal(session, { ...face, input }, opened)
  if (opened !== "") output.write(`${opened}\n\n`)
  const failed = commands === null ? await runPiped(session, face) : await runLines(session, commands.split(";"), face)
  if (failed > 0) throw failure(`${failed} commands were not understood or not possible`)
}
