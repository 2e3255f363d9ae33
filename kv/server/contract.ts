/** What a command is that the server answers itself: its declaration, its input, and its possible answers. */
import type { Histogram } from "../../interpreters/metrics/index.ts"
import type { Faults } from "../faults.ts"
import type { Call, ReadHere, Reply, Service } from "../types.ts"
import type { Budget } from "./limits/budget.ts"
import type { KeyspaceCounter } from "./keyspaceCounter.ts"
import type { ClientState } from "./client.ts"
import type { Limits } from "./limits/limits.ts"
import type { Users } from "./users/index.ts"

/** Work that waits for its turn in the order of the connection, instead of being answered when it is read. */
export type OrderedWork =
  | {
      readonly type: "work.write"
      /**
       * Starts it. The answer comes later through `done`, or is returned at once: then nothing was changed, and `done`
       * is never called.
       */
      readonly start: (
        done: (reply: Reply) => void,
        before: ((read: ReadHere) => void) | undefined,
      ) => Reply | undefined
      /** It is executed in the order of the connection's plain writes, and calls `before` as they do. */
      readonly inOrder: boolean
      /** True for EXEC, whose null is the null of an array. */
      readonly exec: boolean
      /** The calls that it adds to the log, if these are not its own words. */
      readonly calls?: readonly Call[]
      /** The bytes that it holds in memory, besides its words. */
      readonly weight?: number
      /** True for AUTH: later commands are not looked at before it is answered. */
      readonly proves?: boolean
    }
  | {
      readonly type: "work.read"
      readonly run: () => Reply | Promise<Reply>
      /** Whether it needs a barrier. */
      readonly barrier: boolean
      /** It takes several turns: only a few of these run at a time. */
      readonly long?: boolean
      readonly refused?: () => void
    }

export type Words = readonly Buffer[]
export type ServerHandler = (context: Context, words: Words) => Reply | OrderedWork

export interface Shape {
  readonly name: string
  /** As in Redis: the number of words, including the name; negative: the minimum. */
  readonly arity: number
  readonly flags: readonly string[]
  /** Positions of the keys; 0 means none; a negative last position counts from the end. */
  readonly firstKey: number
  readonly lastKey: number
  readonly step: number
}
/** A command of a family, such as CLIENT LIST: `syntax` is what follows its name, in the notation of syntax.ts. */
export interface Subcommand {
  readonly name: string
  readonly arity: number
  readonly syntax: string
  readonly summary: string
}
export interface KnownCommand extends Shape {
  /** write and read are passed to the state machine unchanged. */
  readonly does: "write" | "read" | ServerHandler
  /** What is wrong with its subcommand: MULTI must know before it queues the command. The arity was checked before. */
  readonly wrong?: (words: Words) => Reply | null
  readonly subcommands?: readonly Subcommand[]
  /** What happens under MULTI: the command waits for EXEC, is run at once, or is refused. */
  readonly underMulti: "queue" | "now" | "refuse"
}

export interface Lookup {
  readonly all: readonly KnownCommand[]
  readonly find: (name: Buffer | undefined) => KnownCommand | undefined
}

export interface Stats {
  connections: number
  refused: number
  commands: number
  protocolErrors: number
  /** Connections closed because their client did not read its replies. */
  cutOff: number
  /** Connections closed because nothing arrived for longer than the idle timeout. */
  idle: number
  netInput: number
  /** Commands refused because the user's role does not allow them, or because the client is not logged in. */
  denied: number
  /** Connections refused because their address has too many connections already. */
  crowded: number
  /** Connections whose TLS handshake failed, or that showed no valid certificate. */
  unproven: number
  /** Connections that were not logged in and were closed to make room for others. */
  gaveWay: number
}

export const newStats = (): Stats => ({
  connections: 0,
  refused: 0,
  commands: 0,
  protocolErrors: 0,
  cutOff: 0,
  idle: 0,
  netInput: 0,
  denied: 0,
  crowded: 0,
  unproven: 0,
  gaveWay: 0,
})

export interface Used {
  calls: number
  /** The time from reading a command to answering it, including its way through the log. */
  micros: number
  /** Refused before it was started. */
  rejected: number
  /** Answered with an error. */
  failed: number
}
/** A command that waited for its turn was answered. */
export interface AnsweredCommand {
  /** answered: at once, without the state machine. */
  readonly kind: "write" | "read" | "answered"
  readonly known: KnownCommand | undefined
  readonly words: Words
  readonly work: OrderedWork | null
  readonly reply: Reply | null
  /** When it was started. */
  readonly since: number
}
/** commandstats and errorstats of INFO (usage.ts). */
export interface UsageCounts {
  readonly operations: { readonly perSecond: () => number }
  readonly input: { readonly perSecond: () => number }
  readonly commands: ReadonlyMap<string, Used>
  /** The counts of errors by their first word. */
  readonly errors: ReadonlyMap<string, number>
  /** Durations of commands that went to the state machine. */
  readonly durations: Readonly<Record<"write" | "read", Histogram>>
  readonly rejected: (known: KnownCommand | undefined, words: Words, reply: Reply) => void
  readonly ran: (known: KnownCommand, words: Words, reply: Reply, micros: number) => void
  /** The state machine has answered a command, so many milliseconds after it arrived. */
  readonly took: (kind: "write" | "read", known: KnownCommand, words: Words, reply: Reply, millis: number) => void
  readonly answered: (table: Lookup, done: AnsweredCommand) => void
  readonly reset: () => void
}

export interface Host {
  readonly service: Service
  readonly limits: Limits
  /** A node that does not lead answers MOVED instead of forwarding. */
  readonly redirect: boolean
  readonly table: Lookup
  readonly stats: Stats
  readonly usage: UsageCounts
  readonly census: KeyspaceCounter
  readonly faults: Faults
  readonly budget: Budget
  /** Name of this node. */
  readonly self: string
  /** null: every client may do everything. */
  readonly users: Users | null
  readonly port: () => number
  readonly clients: () => Iterable<ClientState>
  readonly clientCount: () => number
  /** Bytes sent to clients. */
  readonly netOutput: () => number
  /** The client has logged in, or is no longer logged in. */
  readonly named: (client: ClientState) => void
  /** Closes the connections of these clients, and returns how many there were. */
  readonly kill: (which: (client: ClientState) => boolean) => number
}

export interface Context {
  readonly host: Host
  readonly client: ClientState
}
