/**
 * The core alone: three servers in one process and one thread, with the in-place runner, and without sockets or files.
 * Messages and Persists are handed over at once; a step is one call of the runner. Run: npm run bench:core
 */
import { fileURLToPath } from "node:url"
import type * as Core from "../../core/index.ts"

type CoreModule = typeof Core
export interface CoreFigure {
  readonly batch: number
  readonly proposalsPerSecond: number
  readonly stepsPerSecond: number
}

/** This runs the emitted JavaScript, which is what users get: tsx would make closures slower. */
const load = async (): Promise<CoreModule> =>
  (await import(new URL("../../dist/core/index.js", import.meta.url).href)) as CoreModule

const measure = (core: CoreModule, batch: number, seconds: number): CoreFigure => {
  const members = ["n1", "n2", "n3"].map((name): Core.Member => ({ name, incarnation: name }))
  const base: Core.LogBase = {
    index: 0,
    term: 0,
    time: 0,
    chain: 0,
    configuration: { voters: members, outgoing: [], learners: [] },
  }
  const servers = new Map(
    members.map((self) => {
      const recovered: Core.Recovered = {
        self,
        bootId: 1,
        hardState: { term: 0, vote: null },
        base,
        entries: [],
        position: base,
      }
      return [
        self.name,
        {
          self,
          runner: core.inPlace(
            core.initialState(
              { ...core.defaultSettings, snapshotBytes: 4 << 20, trailingLogBytes: 1 << 20 },
              recovered,
            ),
          ),
          inbox: [] as Core.Event[],
        },
      ]
    }),
  )
  let steps = 0
  const drain = (): void => {
    for (let busy = true; busy;) {
      busy = false
      for (const { self, runner, inbox } of servers.values()) {
        if (inbox.length === 0) continue
        busy = true
        steps++
        for (const effect of runner.run(inbox.splice(0))) {
          if (effect.type === "Send")
            servers.get(effect.to.name)?.inbox.push({ type: "MessageReceived", from: self, message: effect.message })
          else if (effect.type === "Persist") inbox.push({ type: "Persisted", seq: effect.seq })
          else if (effect.type === "Apply") inbox.push({ type: "Applied", index: effect.entries.at(-1)?.index ?? 0 })
          else if (effect.type === "TakeSnapshot") {
            const { applied, log } = runner.state
            inbox.push({
              type: "SnapshotTaken",
              base: { ...base, index: applied, term: log.termAt(applied) ?? 0, chain: log.chainAt(applied) ?? 0 },
            })
          }
        }
      }
    }
  }
  const first = servers.get("n1")
  if (first === undefined) throw new Error("no server")
  first.inbox.push({ type: "TimerExpired", timer: "election" })
  drain()
  if (first.runner.state.role.type !== "leader") throw new Error("no leader")
  const payload: Core.Payload = { bytes: new Uint8Array(256), checksum: 1 }
  const propose = (): void => {
    for (let i = 0; i < batch; i++) first.inbox.push({ type: "Proposed", ref: 1, payloads: [payload] })
    drain()
  }
  const warm = performance.now() + seconds * 300
  while (performance.now() < warm) propose()
  steps = 0
  let proposals = 0
  const started = process.cpuUsage()
  const end = performance.now() + seconds * 1000
  while (performance.now() < end) {
    propose()
    proposals += batch
  }
  const used = process.cpuUsage(started)
  const cpuSeconds = (used.user + used.system) / 1e6
  if (first.runner.state.commitIndex !== first.runner.state.log.lastIndex)
    throw new Error("not everything was committed")
  return { batch, proposalsPerSecond: proposals / cpuSeconds, stepsPerSecond: steps / cpuSeconds }
}

export const measureCore = async (seconds = 1): Promise<readonly CoreFigure[]> => {
  const core = await load()
  return [1, 10, 100, 1000].map((batch) => measure(core, batch, seconds))
}

export const coreTable = (figures: readonly CoreFigure[]): string => {
  const row = (label: string, of: (figure: CoreFigure) => number): string =>
    `| ${label} | ${figures.map((figure) => Math.round(of(figure)).toLocaleString("en-US")).join(" | ")} |`
  return [
    `| The core alone (3 servers, one thread, per CPU second); proposals at a time: | ${figures.map(({ batch }) => batch.toLocaleString("en-US")).join(" | ")} |`,
    `|---|${figures.map(() => "---").join("|")}|`,
    row("proposals committed by all three, a second", (figure) => figure.proposalsPerSecond),
    row("steps a second (a step takes all that waits)", (figure) => figure.stepsPerSecond),
  ].join("\n")
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(coreTable(await measureCore(Number(process.argv[2] ?? 2))))
