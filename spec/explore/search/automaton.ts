/**
 * A space as tables of small integers. Each server state, message and set of messages gets a number when it is first
 * reached. So the reducer runs once for each pair of a server state and an event, in however many states of the cluster
 * that pair occurs, and a transition of the cluster is a few table look-ups.
 */
import type { Rule } from "../../../core/index.ts"
import { makeIdentifier, renameServer, type Permutation } from "../identity.ts"
import {
  dropTerms,
  historyText,
  isViolation,
  isWithin,
  judge,
  noHistory,
  renameHistory,
  summaryOf,
  summaryText,
  type LeaderHistory,
  type ServerSummary,
} from "../judge.ts"
import { fateOf, staleRepresentative } from "../fate.ts"
import {
  actOnServer,
  freshServer,
  innerActions,
  searchLevelOf,
  outside,
  type ServerAction,
  type ServerState,
  type ExploredViolation,
} from "../server.ts"
import type { Space } from "../space.ts"
import {
  COMMITTED_SHIFT,
  CRASH,
  GONE,
  JUDGE,
  MOVE,
  OUTSIDE,
  UNKNOWN,
  WRONG,
  renamed,
  type AutomatonOptions,
  type Letter,
} from "./letters.ts"
import { namesAfter, permutationsOf } from "./symmetry.ts"
import { Interned, at, makeList, PairMap, peek, push, put, Tuples } from "./tables.ts"

export class Automaton {
  readonly space: Space
  readonly permutations: readonly (readonly number[])[]
  readonly reached = new Set<Rule>()
  reducerRuns = 0
  private readonly prune: boolean
  private readonly identity
  private readonly names: readonly Permutation[]
  private readonly indexOf: ReadonlyMap<string, number>

  // Servers by id: one entry for each state that a server can be in.
  readonly servers: ServerState[] = []
  private readonly serverIds = new Map<string, number>()
  private readonly serverSummary = makeList()
  private readonly serverLevel = makeList()
  private readonly serverTerm = makeList()
  private readonly inner: ({ readonly action: ServerAction; readonly outcome: number }[] | undefined)[] = []
  private readonly deliveries = new PairMap()
  private readonly renamedServer = makeList()
  // Messages by id.
  readonly letters: Letter[] = []
  private readonly letterIds = new Map<string, number>()
  private readonly letterTo = makeList()
  private readonly staleLetter = makeList()
  private readonly renamedLetter = makeList()
  // The result of an action: the server, then the messages.
  private readonly outcomes = new Tuples()
  private readonly violations: { readonly violation: ExploredViolation }[] = []
  // Sets of messages: those in flight to one server, and those that one move sends.
  readonly sets = new Tuples()
  // A local state: a server and the messages in flight to it.
  private readonly locals = new PairMap()
  private readonly localServer = makeList()
  private readonly localInbox = makeList()
  private readonly additions = new PairMap()
  private readonly renamedLocal = makeList()
  private readonly movesFrom = makeList()
  private readonly movesUntil = makeList()
  readonly moves = makeList()
  private readonly enabled = makeList()
  private readonly cut = makeList()
  // The observed history.
  private readonly summaries = new Interned<ServerSummary>()
  private readonly histories = new Interned<LeaderHistory>()
  private readonly renamedHistory = makeList()
  private readonly forgotten = new PairMap()
  private readonly historyOrder = new Map<number, boolean>()
  private readonly judgements = new Tuples()
  private readonly judged = makeList()

  private buffer = new Int32Array(4096)

  constructor(space: Space, options: AutomatonOptions) {
    this.space = space
    this.prune = options.prune
    this.identity = makeIdentifier(space)
    this.permutations = permutationsOf(space, options.symmetry)
    this.names = this.permutations.map((to) => namesAfter(space, to))
    this.indexOf = new Map(space.servers.map((name, i) => [name, i]))
    this.sets.intern(this.buffer, 0)
    this.historyId(noHistory)
  }

  // ------------------------------------------------------------------------------------------- interning

  private serverId(server: ServerState): number {
    const text = this.identity.server(server)
    const known = this.serverIds.get(text)
    if (known !== undefined) return known
    const id = this.servers.length
    this.serverIds.set(text, id)
    this.servers.push(server)
    push(this.serverLevel, searchLevelOf(server))
    push(this.serverTerm, server.disk.hardState.term)
    push(this.serverSummary, this.summaryId(summaryOf(server)))
    return id
  }
  private letterId(letter: Letter): number {
    const text = this.identity.message(letter.from, letter.to, letter.message)
    const known = this.letterIds.get(text)
    if (known !== undefined) return known
    const id = this.letters.length
    this.letterIds.set(text, id)
    this.letters.push(letter)
    push(this.letterTo, this.indexOf.get(letter.to.name) ?? 0)
    return id
  }
  private summaryId(summary: ServerSummary): number {
    return this.summaries.idOf(summaryText(summary), summary)
  }
  private historyId(history: LeaderHistory): number {
    return this.histories.idOf(historyText(history), history)
  }
  /** The id of the set of the values in the buffer, sorted and without duplicates. */
  private setId(length: number): number {
    const { buffer } = this
    buffer.subarray(0, length).sort()
    let kept = 0
    for (let i = 0; i < length; i++) if (i === 0 || at(buffer, i) !== at(buffer, i - 1)) buffer[kept++] = at(buffer, i)
    return this.sets.intern(buffer, kept)
  }
  private localId(server: number, inbox: number): number {
    const known = this.locals.get(server, inbox, UNKNOWN)
    if (known !== UNKNOWN) return known
    const id = this.localServer.length
    this.locals.set(server, inbox, id)
    push(this.localServer, server)
    push(this.localInbox, inbox)
    return id
  }
  levelOf(server: number): number {
    return at(this.serverLevel.data, server)
  }

  firstLocal(index: number): number {
    return this.localId(this.serverId(freshServer(this.space, this.space.servers[index] ?? "")), 0)
  }
  serverOf(local: number): number {
    return at(this.localServer.data, local)
  }

  // --------------------------------------------------------------------------------------------- one server

  /** The outcome of `action` at `server`. */
  private record(server: number, action: ServerAction): number {
    const outcome = actOnServer(this.space, this.servers[server] as ServerState, action)
    this.reducerRuns++
    for (const rule of outcome.notes) this.reached.add(rule)
    if (outcome.violation !== null) {
      this.violations.push({ violation: outcome.violation })
      return this.outcomes.intern(Int32Array.of(WRONG, this.violations.length - 1), 2)
    }
    if (outside(this.space, outcome.server)) return this.outcomes.intern(Int32Array.of(OUTSIDE), 1)
    const from = outcome.server.state.self
    outcome.sends.forEach(({ to, message }, i) => (this.buffer[i] = this.letterId({ from, to, message })))
    const sends = this.setId(outcome.sends.length)
    const next = outcome.server === this.servers[server] ? server : this.serverId(outcome.server)
    return this.outcomes.intern(Int32Array.of(next, sends), 2)
  }
  private innerOf(server: number): readonly { readonly action: ServerAction; readonly outcome: number }[] {
    const known = this.inner[server]
    if (known !== undefined) return known
    const here = this.servers[server] as ServerState
    const found = innerActions(this.space, here).map((action) => ({ action, outcome: this.record(server, action) }))
    this.inner[server] = found
    return found
  }
  private deliveryOf(server: number, letter: number): number {
    const known = this.deliveries.get(server, letter, UNKNOWN)
    if (known !== UNKNOWN) return known
    const { from, message } = this.letters[letter] as Letter
    const outcome = this.record(server, { type: "deliver", from, message })
    this.deliveries.set(server, letter, outcome)
    return outcome
  }

  /** The message as `server` can still receive it: itself, one that stands for it, or GONE. */
  private reduced(server: number, letter: number): number {
    if (!this.prune) return letter
    const { from, to, message } = this.letters[letter] as Letter
    switch (fateOf(this.servers[server] as ServerState, from, message)) {
      case "dead":
        return GONE
      case "live":
        return letter
      case "stale": {
        const known = peek(this.staleLetter, letter, UNKNOWN)
        if (known !== UNKNOWN) return known
        const stale = this.letterId({ from, to, message: staleRepresentative(message) })
        put(this.staleLetter, letter, stale, UNKNOWN)
        return stale
      }
    }
  }
  /**
   * Is there a message that was dropped although it would have mattered? Each state of a server is tested with each
   * message to it: a message that counts as dead must do no more than a tick, and one that counts as stale must do the
   * same as the message that stands for it.
   */
  misjudged(): boolean {
    const indexes = this.servers.map(({ state }) => this.indexOf.get(state.self.name))
    const count = this.servers.length
    for (let letter = 0; letter < this.letters.length; letter++)
      for (let server = 0; server < count; server++) {
        if (indexes[server] !== this.receiverOf(letter)) continue
        const here = this.reduced(server, letter)
        if (here === letter) continue
        const expected =
          here === GONE
            ? this.innerOf(server).find(({ action }) => action.type === "tick")?.outcome
            : this.outcomeOf(server, here)
        if (this.outcomeOf(server, letter) !== expected) return true
      }
    return false
  }
  private outcomeOf(server: number, letter: number): number {
    const { from, message } = this.letters[letter] as Letter
    return this.record(server, { type: "deliver", from, message })
  }
  /** `inbox` as `server` can still receive it, without `delivered` (or -1). */
  private inboxFor(server: number, inbox: number, delivered: number): number {
    const from = this.sets.start(inbox)
    const until = this.sets.end(inbox)
    let kept = 0
    let changed = false
    for (let i = from; i < until; i++) {
      const letter = at(this.sets.data.data, i)
      const here = letter === delivered ? GONE : this.reduced(server, letter)
      if (here !== letter) changed = true
      if (here !== GONE) this.buffer[kept++] = here
    }
    return changed ? this.setId(kept) : inbox
  }

  /** The local state after `letter` was sent to it. */
  adding(local: number, letter: number): number {
    const known = this.additions.get(local, letter, UNKNOWN)
    if (known !== UNKNOWN) return known
    const server = this.serverOf(local)
    const inbox = this.inboxOf(local)
    let next = local
    const here = this.reduced(server, letter)
    if (here !== GONE) {
      let length = 0
      for (let i = this.sets.start(inbox); i < this.sets.end(inbox); i++)
        this.buffer[length++] = at(this.sets.data.data, i)
      this.buffer[length++] = here
      next = this.localId(server, this.setId(length))
    }
    this.additions.set(local, letter, next)
    return next
  }
  /** Compares the signatures of two sets: false if the first certainly does not contain the second. */
  mayBeWithin(a: number, b: number): boolean {
    if (a === b) return true
    const first = this.inboxOf(a)
    const second = this.inboxOf(b)
    return (
      this.sizeOf(first) <= this.sizeOf(second) && (this.sets.signatureOf(first) & ~this.sets.signatureOf(second)) === 0
    )
  }
  /** For two local states of the same server: every message in flight to the first is in flight to the second. */
  isWithin(a: number, b: number): boolean {
    if (a === b) return true
    return this.sets.isSubset(this.inboxOf(a), this.inboxOf(b))
  }
  historyWithin(a: number, b: number): boolean {
    if (a === b) return true
    const key = a * 65536 + b
    const known = this.historyOrder.get(key)
    if (known !== undefined) return known
    const within = isWithin(this.histories.items[a] as LeaderHistory, this.histories.items[b] as LeaderHistory)
    this.historyOrder.set(key, within)
    return within
  }
  private inboxOf(local: number): number {
    return at(this.localInbox.data, local)
  }
  private sizeOf(set: number): number {
    return this.sets.end(set) - this.sets.start(set)
  }
  messagesOf(local: number): number {
    return this.sizeOf(this.inboxOf(local))
  }
  receiverOf(letter: number): number {
    return at(this.letterTo.data, letter)
  }

  // -------------------------------------------------------------------------------------------- moves of a server

  /** Moves that change nothing are left out, and so are duplicates. */
  movesStart(local: number): number {
    const known = peek(this.movesFrom, local, UNKNOWN)
    if (known !== UNKNOWN) return known
    const server = this.serverOf(local)
    const inbox = this.inboxOf(local)
    const found: number[] = []
    let enabled = 0
    let cut = 0
    const consider = (outcome: number, delivered: number, event: number, flags: number): void => {
      enabled++
      const start = this.outcomes.start(outcome)
      const target = at(this.outcomes.data.data, start)
      if (target === OUTSIDE) {
        cut++
        return
      }
      if (target === WRONG) {
        found.push(WRONG, at(this.outcomes.data.data, start + 1), event, flags)
        return
      }
      const sends = at(this.outcomes.data.data, start + 1)
      const keepsInbox = target === server && (delivered < 0 || this.space.duplication)
      if (keepsInbox && sends === 0) return
      const left = keepsInbox ? inbox : this.inboxFor(target, inbox, this.space.duplication ? -1 : delivered)
      const next = this.localId(target, left)
      if (next === local && sends === 0) return
      const all = flags | (at(this.serverSummary.data, target) === at(this.serverSummary.data, server) ? 0 : JUDGE)
      for (let i = 0; i < found.length; i += MOVE)
        if (found[i] === next && found[i + 1] === sends && found[i + 3] === all) return
      found.push(next, sends, event, all)
    }
    for (let i = this.sets.start(inbox); i < this.sets.end(inbox); i++) {
      const letter = at(this.sets.data.data, i)
      consider(this.deliveryOf(server, letter), letter, letter, 0)
    }
    this.innerOf(server).forEach(({ action, outcome }, i) =>
      consider(
        outcome,
        -1,
        -1 - i,
        (action.type === "crash" ? CRASH : 0) |
          (action.type === "read" ? (action.committed + 1) << COMMITTED_SHIFT : 0),
      ),
    )
    const start = this.moves.length
    for (const value of found) push(this.moves, value)
    put(this.movesFrom, local, start, UNKNOWN)
    put(this.movesUntil, local, this.moves.length, UNKNOWN)
    put(this.enabled, local, enabled, 0)
    put(this.cut, local, cut, 0)
    return start
  }
  movesEnd(local: number): number {
    return at(this.movesUntil.data, local)
  }
  /** Numbers of possible moves, and of moves beyond a bound; once they are known. */
  enabledIn(local: number): number {
    return at(this.enabled.data, local)
  }
  outsideIn(local: number): number {
    return at(this.cut.data, local)
  }
  isWrong(target: number): boolean {
    return target === WRONG
  }
  violationOf(id: number): ExploredViolation {
    return (this.violations[id] as { violation: ExploredViolation }).violation
  }
  actionOf(server: number, event: number): ServerAction {
    if (event >= 0) {
      const { from, message } = this.letters[event] as Letter
      return { type: "deliver", from, message }
    }
    return (this.innerOf(server)[-1 - event] as { action: ServerAction }).action
  }

  // ------------------------------------------------------------------------------------------ all servers

  /** The history after server `index` of `state` changed; WRONG - n for the n-th violation. */
  judge(history: number, index: number, state: Int32Array): number {
    const count = this.space.servers.length
    const key = this.buffer
    key[0] = history
    key[1] = index
    for (let i = 0; i < count; i++) key[2 + i] = at(this.serverSummary.data, this.serverOf(at(state, i)))
    const known = this.judgements.size
    const id = this.judgements.intern(key, 2 + count)
    if (id < known) return at(this.judged.data, id)
    const summaries = Array.from({ length: count }, (_, i) => this.summaries.items[at(key, 2 + i)] as ServerSummary)
    const verdict = judge(
      this.histories.items[history] as LeaderHistory,
      summaries[index] as ServerSummary,
      summaries.filter((_, i) => i !== index),
    )
    if (isViolation(verdict)) this.violations.push({ violation: verdict })
    push(this.judged, isViolation(verdict) ? WRONG - (this.violations.length - 1) : this.historyId(verdict))
    return at(this.judged.data, id)
  }
  /** `history` without entries that no server can contradict any more. */
  forgetting(history: number, state: Int32Array): number {
    let term = Number.POSITIVE_INFINITY
    for (let i = 0; i < this.space.servers.length; i++)
      term = Math.min(term, at(this.serverTerm.data, this.serverOf(at(state, i))))
    if (term === 0) return history
    const known = this.forgotten.get(history, term, UNKNOWN)
    if (known !== UNKNOWN) return known
    const next = this.prune ? this.historyId(dropTerms(this.histories.items[history] as LeaderHistory, term)) : history
    this.forgotten.set(history, term, next)
    return next
  }
  violationIn(judged: number): ExploredViolation | null {
    return judged > WRONG ? null : this.violationOf(WRONG - judged)
  }
  committedIn(history: number): number {
    return (this.histories.items[history] as LeaderHistory).committed.length
  }

  renameServer(id: number, by: number): number {
    const place = id * this.permutations.length + by
    const known = peek(this.renamedServer, place, UNKNOWN)
    if (known !== UNKNOWN) return known
    const next =
      by === 0 ? id : this.serverId(renameServer(this.servers[id] as ServerState, this.names[by] as Permutation))
    put(this.renamedServer, place, next, UNKNOWN)
    return next
  }
  renameLetter(id: number, by: number): number {
    const place = id * this.permutations.length + by
    const known = peek(this.renamedLetter, place, UNKNOWN)
    if (known !== UNKNOWN) return known
    const next = by === 0 ? id : this.letterId(renamed(this.letters[id] as Letter, this.names[by] as Permutation))
    put(this.renamedLetter, place, next, UNKNOWN)
    return next
  }
  renameLocal(id: number, by: number): number {
    const place = id * this.permutations.length + by
    const known = peek(this.renamedLocal, place, UNKNOWN)
    if (known !== UNKNOWN) return known
    let next = id
    if (by !== 0) {
      const server = this.renameServer(this.serverOf(id), by)
      const inbox = this.inboxOf(id)
      const from = this.sets.start(inbox)
      const length = this.sets.end(inbox) - from
      const letters: number[] = []
      for (let i = 0; i < length; i++) letters.push(this.renameLetter(at(this.sets.data.data, from + i), by))
      letters.forEach((letter, i) => (this.buffer[i] = letter))
      next = this.localId(server, this.setId(length))
    }
    put(this.renamedLocal, place, next, UNKNOWN)
    return next
  }
  renameHistory(id: number, by: number): number {
    const place = id * this.permutations.length + by
    const known = peek(this.renamedHistory, place, UNKNOWN)
    if (known !== UNKNOWN) return known
    const names = this.names[by] as Permutation
    const next = by === 0 ? id : this.historyId(renameHistory(this.histories.items[id] as LeaderHistory, names))
    put(this.renamedHistory, place, next, UNKNOWN)
    return next
  }

  /** Bytes of the tables; the servers themselves need more. */
  get bytes(): number {
    const lists = [
      this.localServer,
      this.localInbox,
      this.renamedLocal,
      this.movesFrom,
      this.movesUntil,
      this.moves,
      this.enabled,
      this.cut,
    ]
    const tables = [this.deliveries, this.locals, this.additions, this.outcomes, this.sets, this.judgements]
    return tables.reduce((sum, { bytes }) => sum + bytes, 4 * lists.reduce((sum, { data }) => sum + data.length, 0))
  }
}
