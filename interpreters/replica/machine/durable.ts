/**
 * A state that is durable itself, such as a database with transactions. What a replica keeps beside it (sessions,
 * leases, its position in the log) is written in the same transactions, so that a crash never separates the two and
 * nothing is executed twice.
 */
import { origin, type Index, type LogBase, type Member, type Stamp } from "../../../core/index.ts"
import { textOf, utf8 } from "../../octets.ts"
import { jsonCodec, type Codec } from "./definition.ts"
import { Execution, requireDone } from "./execution.ts"
import { Leases } from "./leases.ts"
import { SessionTable } from "./sessionTable.ts"

/**
 * Its functions are called one at a time: the next call comes when the last one is done. If one throws or rejects, the
 * server stops and names the error.
 */
export interface DurableState<State, Command, Result> {
  /** The state that readers are given. They may see only what committed transactions have written. */
  readonly state: State
  /**
   * Executes one command within the open transaction. The return value is the command's result. If it throws, the
   * command is undone, by means of `attempt`. It must be deterministic: no clock, no randomness, and rows in a defined
   * order wherever their order matters.
   */
  readonly apply: (command: Command, at: { readonly index: Index; readonly time: Stamp }) => Result
  /** Runs `work` within the open transaction. If it throws, its changes are undone and the error is thrown on. */
  readonly attempt: <A>(work: () => A) => A
  /**
   * True if the error is this server's own (no space, a failing disk, a busy file) and not the command's: then the
   * server stops. If it counted as the command's error, the command would be undone here and executed everywhere else.
   */
  readonly isOwn: (thrown: unknown) => boolean
  /**
   * Runs `work` in one transaction: after a crash all of it is there, or nothing. `write` stores a record beside the
   * state; null removes the record.
   */
  readonly transaction: (
    work: (write: (record: string, value: Uint8Array | null) => void) => void,
  ) => void | Promise<void>
  /** All records that the transactions so far have written. */
  readonly records: () => Iterable<readonly [record: string, value: Uint8Array]>
  /**
   * Makes all transactions so far durable: after that no crash undoes them, because the log before that point is
   * deleted.
   */
  readonly sync: () => void | Promise<void>
  /** Writes everything, records included, into a new file. */
  readonly copyTo: (file: string) => void | Promise<void>
  /**
   * Replaces everything by the content of a file that `copyTo` wrote, here or on another server. A crash leaves either
   * the old content or the new.
   */
  readonly becomeCopy: (file: string) => void | Promise<void>
  readonly close: () => void | Promise<void>
}

export interface DurableMachine<State, Command, Result> {
  /**
   * Opens the state in `directory`, or a new state if there is none. The directory exists and belongs to this state,
   * except for files whose names begin with `snapshot.`. Throws if the state cannot be read.
   */
  readonly open: (
    directory: string,
  ) => DurableState<State, Command, Result> | Promise<DurableState<State, Command, Result>>
  /** Default: JSON. */
  readonly commands?: Codec<Command>
  readonly results?: Codec<Result>
}

/** The record that holds a replica's position. Other records hold sessions, outcomes and leases. */
const PLACE = "place"
interface Place {
  readonly position: LogBase
  readonly digest: number
  /**
   * The server that wrote these transactions, as name and incarnation: they are another server's if they came with a
   * snapshot.
   */
  readonly by: string
  /** The last entry in the snapshot from which the state was restored; 0: every entry was executed here. */
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
      sessionTable: SessionTable.restored(records, change),
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
  /** Writes what has changed beside the state since the last call. Must be called within the open transaction. */
  writeChanges(write: (record: string, value: Uint8Array | null) => void): void {
    for (const record of this.changed)
      write(record, (record.startsWith("lease/") ? this.leases : this.sessionTable).record(record))
    this.changed.clear()
    const place: Place = { position: this.position, digest: this.digest, by: this.by, beginsAt: this.beginsAt }
    write(PLACE, utf8(JSON.stringify(place)))
  }
}
