/**
 * Traces that a person can read: a text with commands (`> …`) and, below each, what came of it. The commands are run against
 * the shipped reducer, and the whole text must come out again. With STEPRAFT_GOLDEN set the files are written anew.
 *
 *     > servers a b c            learners as +d; settings as name=value
 *     > timeout a                its election timer expires, both stages; `timer a heartbeat` for any other timer
 *     > deliver [a b]            everything in flight, or what a has sent b, until nothing is left; `lose [a b]` likewise
 *     > cut a c | b d e          no message passes between the groups, until `heal`
 *     > propose a 7   read a   transfer a b   change a a b d +e   low-space a   room a
 *     > crash a   start a   start a empty          empty: on a new disk, so as another incarnation
 *     > slow a   persisted a   applied a           from `slow` on its disk and state machine answer only when told to
 *     > show                     one line for each server
 *     >> …                       the same, untold: what leads up to the story
 */
import {
  copyState,
  defaultSettings,
  emptyConfiguration,
  initialState,
  stepAll,
  storedAfter,
  Log,
  type Configuration,
  type Effect,
  type Event,
  type LogBase,
  type Member,
  type Message,
  type Payload,
  type Persist,
  type Settings,
  type SnapshotRef,
  type State,
  type StoredLog,
  type Timer,
} from "../../core/index.ts"
import { effectText, eventText, messageText } from "../../interpreters/debugger/index.ts"

interface Node {
  member: Member
  state: State
  /** The content of its disk and its state machine. */
  stored: StoredLog
  position: LogBase | null
  up: boolean
  slow: boolean
  starts: number
  /** Written once the disk reports it. */
  unwritten: readonly Persist[]
  /** Outstanding while it is slow. */
  readonly waiting: Event[]
}
interface Flying {
  readonly from: Member
  readonly to: Member
  readonly message: Message
}

const payloadOf = (id: number): Payload => ({ bytes: new Uint8Array(4), checksum: id })
const nothing = (configuration: Configuration): LogBase => ({ index: 0, term: 0, time: 0, chain: 0, configuration })
const isTimer = (word: string): word is Timer =>
  ["election", "heartbeat", "quorum", "lease", "persist", "transfer", "answer"].includes(word)
/** Timers are set all the time; a trace shows only which of them expire. */
const told = (effect: Effect): string | null => {
  if (effect.type === "SetTimer" || effect.type === "CancelTimer") return null
  return effect.type === "Note" ? `rule ${effect.rule}` : effectText(effect)
}

class Trace {
  private readonly nodes = new Map<string, Node>()
  private settings: Settings = defaultSettings
  private flying: Flying[] = []
  private groups: readonly (readonly string[])[] = []
  private ref = 0
  private lines: string[] = []

  private node(name = ""): Node {
    const node = this.nodes.get(name)
    if (node === undefined) throw new Error(`there is no server "${name}"`)
    return node
  }
  private member(name: string): Member {
    return this.node(name).member
  }
  private list(words: readonly string[]): { readonly voters: readonly Member[]; readonly learners: readonly Member[] } {
    const of = (names: readonly string[]): readonly Member[] => names.map((name) => this.member(name))
    return {
      voters: of(words.filter((word) => !word.startsWith("+"))),
      learners: of(words.flatMap((word) => (word.startsWith("+") ? [word.slice(1)] : []))),
    }
  }

  private servers(words: readonly string[]): void {
    const named = words.filter((word) => !word.includes("="))
    const given = words.flatMap((word) => (word.includes("=") ? [word.split("=")] : []))
    this.settings = {
      ...defaultSettings,
      ...Object.fromEntries(
        given.map(([name = "", value = ""]) => [
          name,
          value === "true" ? true : value === "false" ? false : Number(value),
        ]),
      ),
    }
    const member = (name: string): Member => ({ name, incarnation: "1" })
    const configuration: Configuration = {
      voters: named.filter((name) => !/^[+-]/.test(name)).map(member),
      outgoing: [],
      learners: named.flatMap((name) => (name.startsWith("+") ? [member(name.slice(1))] : [])),
    }
    for (const word of named) {
      const name = word.replace(/^[+-]/, "")
      // -d: a server that no other server knows yet.
      const base = nothing(word.startsWith("-") ? emptyConfiguration : configuration)
      this.boot(name, { hardState: { term: 0, vote: null }, log: Log.empty(base) }, base, member(name), 0)
    }
  }
  private boot(name: string, stored: StoredLog, position: LogBase | null, member: Member, starts: number): void {
    const { log, hardState } = stored
    const state = initialState(this.settings, {
      self: member,
      bootId: starts,
      hardState,
      base: log.base,
      entries: log.toArray(),
      position,
    })
    this.nodes.set(name, { member, state, stored, position, up: true, slow: false, starts, unwritten: [], waiting: [] })
    this.happen(this.node(name), { type: "Started" })
  }

  /** One event, and everything that disk and state machine answer at once. */
  private happen(node: Node, ...events: readonly Event[]): void {
    for (const event of events) {
      if (event.type !== "Started") this.say(`${node.member.name}: ${eventText(event)}`)
      const before = node.state
      const [state, effects] = stepAll(copyState(node.state), [event])
      node.state = state
      if (event.type !== "Started") for (const text of effects.map(told)) if (text !== null) this.say(`   ${text}`)
      if (before.role.type !== state.role.type)
        this.say(
          `   is ${state.role.type === "follower" ? "a follower" : state.role.type === "leader" ? `the leader of term ${state.currentTerm}` : `a ${state.role.type}`} now`,
        )
      if (before.commitIndex !== state.commitIndex) this.say(`   has committed through ${state.commitIndex}`)
      const answers = effects.flatMap((effect) => this.execute(node, effect))
      if (node.slow) node.waiting.push(...answers)
      else this.quietly(node, answers)
    }
  }
  /** Printed only if it has an effect. */
  private quietly(node: Node, events: readonly Event[]): void {
    for (const event of events) {
      const from = this.lines.length
      this.finish(node, event)
      this.happen(node, event)
      if (this.lines.length === from + 1) this.lines.pop()
    }
  }
  private finish(node: Node, event: Event): void {
    if (event.type === "Persisted") {
      for (const persist of node.unwritten)
        if (persist.seq <= event.seq) node.stored = storedAfter(node.stored, persist)
      node.unwritten = node.unwritten.filter(({ seq }) => seq > event.seq)
    }
    if (event.type === "Applied") node.position = this.positionAt(node, event.index)
    if (event.type === "SnapshotRestored") node.position = event.snapshot
  }
  private positionAt({ state }: Node, index: number): LogBase {
    const { log, configurations } = state
    const configuration = configurations.findLast((known) => known.index <= index)?.configuration ?? emptyConfiguration
    return {
      index,
      term: log.termAt(index) ?? 0,
      time: log.entry(index)?.time ?? 0,
      chain: log.chainAt(index) ?? 0,
      configuration,
    }
  }

  /** What the interpreter does, and the answers. */
  private execute(node: Node, effect: Effect): readonly Event[] {
    switch (effect.type) {
      case "Send":
        this.flying.push({
          from: node.member,
          to: effect.to,
          message:
            effect.message.type === "InstallSnapshot" ? { ...effect.message, length: 1, last: true } : effect.message,
        })
        return []
      case "Persist":
        node.unwritten = [...node.unwritten, effect]
        return [{ type: "Persisted", seq: effect.seq }]
      case "Apply":
        return [{ type: "Applied", index: effect.entries.at(-1)?.index ?? 0 }]
      case "TakeSnapshot":
        return [{ type: "SnapshotTaken", base: this.positionAt(node, node.state.applied) }]
      case "OpenSnapshot": {
        const snapshot: SnapshotRef = {
          ...this.positionAt(node, node.state.applied),
          id: `${node.member.name}@${node.state.applied}`,
        }
        return [{ type: "SnapshotOpened", to: effect.to, snapshot }]
      }
      case "StoreChunk":
        return [{ type: "ChunkStored", id: effect.snapshot.id, nextOffset: effect.offset + 1, last: effect.last }]
      case "RestoreSnapshot":
        return [{ type: "SnapshotRestored", snapshot: effect.snapshot }]
      case "Respond":
      case "SetTimer":
      case "CancelTimer":
      case "CloseSnapshot":
      case "Halt":
      case "Note":
        return []
    }
  }

  private apart(a: string, b: string): boolean {
    return this.groups.length > 0 && !this.groups.some((group) => group.includes(a) && group.includes(b))
  }
  private take(from?: string, to?: string): Flying | undefined {
    const at = this.flying.findIndex(
      (one) => (from === undefined || one.from.name === from) && (to === undefined || one.to.name === to),
    )
    return at < 0 ? undefined : this.flying.splice(at, 1)[0]
  }
  private deliver(from?: string, to?: string): void {
    for (let next = this.take(from, to); next !== undefined; next = this.take(from, to)) {
      const node = this.node(next.to.name)
      if (this.apart(next.from.name, next.to.name) || !node.up || node.member.incarnation !== next.to.incarnation)
        this.say(`lost: ${next.from.name} → ${next.to.name} ${messageText(next.message)}`)
      else this.happen(node, { type: "MessageReceived", from: next.from, message: next.message })
    }
  }
  private show(): void {
    for (const { member, state, up } of this.nodes.values()) {
      const { role, log, currentTerm, commitIndex } = state
      const held = log
        .toArray()
        .map(
          ({ term, kind, index }) => `${index}·t${term}${kind === "configuration" ? "c" : kind === "noop" ? "n" : ""}`,
        )
      this.say(
        `${member.name}  ${up ? role.type : "down"}  term ${currentTerm}  commit ${commitIndex}  log ${log.base.index > 0 ? `(snapshot through ${log.base.index}) ` : ""}${held.join(" ") || "empty"}`,
      )
    }
  }
  private say(line: string): void {
    this.lines.push(line)
  }

  /** The result of a command. */
  run(line: string): readonly string[] {
    this.lines = []
    const [verb = "", ...words] = line.split(/\s+/)
    const [name = "", second = ""] = words
    const id = Number(second)
    switch (verb) {
      case "servers":
        this.servers(words)
        break
      case "timeout":
        for (let i = 0; i < 2 && (i === 0 || this.node(name).state.role.type === "follower"); i++)
          this.happen(this.node(name), { type: "TimerExpired", timer: "election" })
        break
      case "timer":
        if (!isTimer(second)) throw new Error(`there is no timer "${second}"`)
        this.happen(this.node(name), { type: "TimerExpired", timer: second })
        break
      case "deliver":
        this.deliver(words[0], words[1])
        break
      case "lose":
        for (let lost = this.take(words[0], words[1]); lost !== undefined; lost = this.take(words[0], words[1]))
          this.say(`lost: ${lost.from.name} → ${lost.to.name} ${messageText(lost.message)}`)
        break
      case "cut":
        this.groups = words
          .join(" ")
          .split("|")
          .map((group) => group.trim().split(" "))
        break
      case "heal":
        this.groups = []
        break
      case "propose":
        this.happen(this.node(name), { type: "Proposed", ref: ++this.ref, payloads: [payloadOf(id)] })
        break
      case "read":
        this.happen(this.node(name), { type: "ReadRequested", ref: ++this.ref })
        break
      case "transfer":
        this.happen(this.node(name), { type: "TransferRequested", to: this.member(second) })
        break
      case "change":
        this.happen(this.node(name), {
          type: "ConfigurationChangeProposed",
          ref: ++this.ref,
          ...this.list(words.slice(1)),
        })
        break
      case "low-space":
      case "room":
        this.happen(this.node(name), { type: "SpaceChanged", low: verb === "low-space" })
        break
      case "slow":
        this.node(name).slow = true
        break
      case "persisted":
      case "applied": {
        const node = this.node(name)
        const type = verb === "persisted" ? "Persisted" : "Applied"
        const at = node.waiting.findIndex((event) => event.type === type)
        const event = node.waiting.splice(at, at < 0 ? 0 : 1)[0]
        if (event === undefined) throw new Error(`${name} has nothing that could be ${verb}`)
        this.finish(node, event)
        this.happen(node, event)
        break
      }
      case "crash":
        this.node(name).up = false
        break
      case "start": {
        const node = this.node(name)
        if (second === "empty")
          this.boot(
            name,
            { hardState: { term: 0, vote: null }, log: Log.empty(nothing(emptyConfiguration)) },
            nothing(emptyConfiguration),
            { name, incarnation: String(node.starts + 2) },
            node.starts + 1,
          )
        else this.boot(name, node.stored, node.position, node.member, node.starts + 1)
        break
      }
      case "show":
        this.show()
        break
      default:
        throw new Error(`there is no command "${verb}"`)
    }
    return this.lines
  }
}

/** The text with the present results of its commands. */
export const retold = (
  text: string,
  make: () => { readonly run: (line: string) => readonly string[] } = () => new Trace(),
): string => {
  const trace = make()
  const kept = text.split("\n").filter((line) => line.startsWith(">") || line.startsWith("#") || line === "")
  const out: string[] = []
  for (const line of kept) {
    out.push(line)
    const [, quiet, command = ""] = /^>(>?) (.*)$/.exec(line) ?? []
    if (quiet === undefined) continue
    const told = trace.run(command)
    if (quiet === "") out.push(...told.map((each) => `  ${each}`))
  }
  return `${out
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .trimEnd()}\n`
}
