/**
 * A state that keeps itself, such as a database with transactions. What a replica knows beside it (sessions, leases, its place
 * in the log) is written in the same transactions, so that a crash never tears the two apart and nothing is executed twice.
 */
import { origin, type Index, type LogBase, type Member, type Stamp } from "../../../core/index.ts"
import { textOf, utf8 } from "../../octets.ts"
import { jsonCodec, type Codec } from "./definition.ts"
import { Execution, requireDone } from "./execution.ts"
import { Leases } from "./leases.ts"
import { Ledger } from "./ledger.ts"

/** One at a time is asked of it, and nothing else until that is done. What it throws or rejects stops the server by name. */
export interface DurableState<State, Command, Result> {
  /** What readers are given. Of what they ask, only what the transactions so far have written may show. */
  readonly state: State
  /**
   * Executes one command within the transaction that is open. The return value is the command's result; a throw undoes the
   * command, by way of `attempt`. It must be deterministic: no clock, no randomness; an order wherever rows have one.
   */
  readonly apply: (command: Command, at: { readonly index: Index; readonly time: Stamp }) => Result
  /** Runs `work` within the transaction that is open. What that has changed when it throws is undone, and the throw goes on. */
  readonly attempt: <A>(work: () => A) => A
  /**
   * What was thrown is this server's own trouble (no room, a failing disk, a busy file), and no fault of the command: the server
   * stops. Taken for the command's, it would be undone here and executed everywhere else.
   */
  readonly isOwn: (thrown: unknown) => boolean
  /** Runs `work` in one transaction: a crash leaves all of it or nothing. `write` puts a record beside the state; null removes it. */
  readonly transaction: (
    work: (write: (record: string, value: Uint8Array | null) => void) => void,
  ) => void | Promise<void>
  /** All records, as the transactions so far have left them. */
  readonly records: () => Iterable<readonly [record: string, value: Uint8Array]>
  /** From now on no crash takes back what the transactions so far have written: the log before that is thrown away. */
  readonly sync: () => void | Promise<void>
  /** Makes a file of everything, records included. There is none of that name. */
  readonly copyTo: (file: string) => void | Promise<void>
  /** Becomes what `copyTo` put into that file, here or on another server. A crash leaves the one or the other. */
  readonly becomeCopy: (file: string) => void | Promise<void>
  readonly close: () => void | Promise<void>
}

export interface DurableMachine<State, Command, Result> {
  /**
   * Opens what is in `directory`, which is there and is its own, but for files whose names begin with `snapshot.`; a new state
   * if there is nothing. Throws what it cannot read.
   */
  readonly open: (
    directory: string,
  ) => DurableState<State, Command, Result> | Promise<DurableState<State, Command, Result>>
  /** Default: JSON. */
  readonly commands?: Codec<Command>
  readonly results?: Codec<Result>
}

/** The record of a replica's place: beside it stand those of sessions, outcomes and leases. */
const PLACE = "place"
interface Place {
  readonly position: LogBase
  readonly digest: number
  /** Whose transactions these are, as name and incarnation: another's came with a snapshot. */
  readonly by: string
  /** The entry through which the snapshot reached that the state came from; 0: every entry was executed here. */
  readonly beginsAt: Index
}

export class DurableExecutor<State, Command, Result> extends Execution {
  private readonly own: DurableState<State, Command, Result>
  private readonly commands: Codec<Command>
  private readonly results: Codec<Result>
  private readonly by: string
  private readonly changed: Set<string>
  readonly beginsAt: Index

  constructor(
    machine: DurableMachine<State, Command, Result>,
    own: DurableState<State, Command, Result>,
    self: Member,
  ) {
    const records = new Map(own.records())
    const found = records.get(PLACE)
    const place = found === undefined ? null : (JSON.parse(textOf(found)) as Place)
    const changed = new Set<string>()
    const change = (record: string): void => void changed.add(record)
    super({
      position: place?.position ?? origin,
      digest: place?.digest ?? 0,
      ledger: Ledger.restored(records, change),
      leases: Leases.restored(records, change),
    })
    this.own = own
    this.commands = machine.commands ?? jsonCodec<Command>()
    this.results = machine.results ?? jsonCodec<Result>()
    this.changed = changed
    this.by = `${self.name}:${self.incarnation}`
    this.beginsAt = place === null ? 0 : place.by === this.by ? place.beginsAt : place.position.index
  }
  get state(): State {
    return this.own.state
  }
  protected override isOwn(thrown: unknown): boolean {
    return this.own.isOwn(thrown)
  }
  protected run(body: Uint8Array, index: Index, time: Stamp): Uint8Array {
    return this.own.attempt(() => {
      const result = this.own.apply(this.commands.decode(body), { index, time })
      requireDone(result)
      return this.results.encode(result)
    })
  }
  /** What has changed beside the state since the last call; belongs into the transaction that is open. */
  writeChanges(write: (record: string, value: Uint8Array | null) => void): void {
    for (const record of this.changed)
      write(record, (record.startsWith("lease/") ? this.leases : this.ledger).record(record))
    this.changed.clear()
    const place: Place = { position: this.position, digest: this.digest, by: this.by, beginsAt: this.beginsAt }
    write(PLACE, utf8(JSON.stringify(place)))
  }
}
