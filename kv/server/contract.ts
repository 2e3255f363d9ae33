/** What a command of the server's own is, what it is given, and what it may answer. */
import type { Histogram } from "../../interpreters/metrics/index.ts"
import type { Faults } from "../faults.ts"
import type { Call, ReadHere, Reply, Service } from "../types.ts"
import type { Budget } from "./limits/budget.ts"
import type { Census } from "./census.ts"
import type { Client } from "./client.ts"
import type { Limits } from "./limits/limits.ts"

/** What takes its turn in the order of the connection instead of being answered as it is read. */
export type Work =
  | {
      readonly type: "work.write"
      /** Answers through `done`, later; or at once by what it returns, and then it has changed nothing and `done` is never called. */
      readonly start: (
        done: (reply: Reply) => void,
        before: ((read: ReadHere) => void) | undefined,
      ) => Reply | undefined
      /** It is executed in the order of the connection's plain writes, and calls `before` as they do. */
      readonly inOrder: boolean
      /** EXEC: its null is an array's. */
      readonly exec: boolean
      /** What it brings into the log, if that is not its words. */
      readonly calls?: readonly Call[]
      /** What it holds in memory beside its words. */
      readonly weight?: number
    }
  | {
      readonly type: "work.read"
      readonly run: () => Reply | Promise<Reply>
      /** Whether it may only run behind a barrier. */
      readonly barrier: boolean
      /** It takes several turns: only a few of these run at a time. */
      readonly long?: boolean
      readonly refused?: () => void
    }

export type Words = readonly Buffer[]
export type Handler = (context: Context, words: Words) => Reply | Work

export interface Shape {
  readonly name: string
  /** As in Redis: counts the name; negative means at least. */
  readonly arity: number
  readonly flags: readonly string[]
  /** Positions of the keys; 0 means none, a negative last counts from the end. */
  readonly firstKey: number
  readonly lastKey: number
  readonly step: number
}
/** One of a family, as CLIENT LIST is: `syntax` is what follows its name, in the notation of syntax.ts. */
export interface Subcommand {
  readonly name: string
  readonly arity: number
  readonly syntax: string
  readonly summary: string
}
export interface Known extends Shape {
  /** write and read go to the state machine as they are. */
  readonly does: "write" | "read" | Handler
  /** What is wrong with its subcommand, which MULTI must know before it queues it. Its arity has been checked. */
  readonly wrong?: (words: Words) => Reply | null
  readonly subcommands?: readonly Subcommand[]
  /** Under MULTI: waits for EXEC, runs at once, or is refused. */
  readonly underMulti: "queue" | "now" | "refuse"
}

export interface Lookup {
  readonly all: readonly Known[]
  readonly find: (name: Buffer | undefined) => Known | undefined
}

export interface Stats {
  connections: number
  refused: number
  commands: number
  protocolErrors: number
  /** Connections cut off because their client did not take its replies. */
  cutOff: number
  /** Connections closed because nothing came from them for longer than the idle time-out. */
  idle: number
  netInput: number
}

export interface Used {
  calls: number
  /** From being read to being answered, its way through the log included. */
  micros: number
  /** Refused before it was begun. */
  rejected: number
  /** Answered with an error. */
  failed: number
}
/** A command that took its turn and has been answered. */
export interface Done {
  /** answered: at once, without the state machine. */
  readonly kind: "write" | "read" | "answered"
  readonly known: Known | undefined
  readonly words: Words
  readonly work: Work | null
  readonly reply: Reply | null
  /** When it was taken up. */
  readonly since: number
}
/** commandstats and errorstats of INFO (usage.ts). */
export interface UsageCounts {
  readonly operations: { readonly perSecond: () => number }
  readonly input: { readonly perSecond: () => number }
  readonly commands: ReadonlyMap<string, Used>
  /** By the first word of the error. */
  readonly errors: ReadonlyMap<string, number>
  /** Of what went to the state machine. */
  readonly durations: Readonly<Record<"write" | "read", Histogram>>
  readonly rejected: (known: Known | undefined, words: Words, reply: Reply) => void
  readonly ran: (known: Known, words: Words, reply: Reply, micros: number) => void
  readonly answered: (table: Lookup, done: Done) => void
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
  readonly census: Census
  readonly faults: Faults
  readonly budget: Budget
  /** Name of this node. */
  readonly self: string
  readonly port: () => number
  readonly clients: () => Iterable<Client>
  readonly clientCount: () => number
  /** Bytes sent to clients. */
  readonly netOutput: () => number
  /** Ends the connections of these clients, and tells how many they were. */
  readonly kill: (which: (client: Client) => boolean) => number
}

export interface Context {
  readonly host: Host
  readonly client: Client
}
