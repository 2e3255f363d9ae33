/**
 * When the server is full, or has as many clients from one address as it serves, a few connections remain for
 * administrators. They are accepted beyond the limits, half of them only from this machine, and may inspect and administer but not use the store. Each is guaranteed a quarter of a
 * second; after that a newer one may take its place, so that an idle connection does not keep it.
 */
import { err } from "../../machine/reply.ts"
import type { Reply } from "../../types.ts"
import type { KnownCommand, Words } from "../contract.ts"
import { wordAt } from "../words.ts"

const sureMs = 250

/** Starts like Redis' own message, which clients recognise. */
export const tooManyClients = (most: number): Reply =>
  err(
    `max number of clients reached: this node serves ${most}. Nothing was executed. Ask another node, or close some (STEPRAFT STATUS, INFO, CLIENT LIST and CLIENT KILL are answered even now).`,
  )

export const tooManyFrom = (most: number): Reply =>
  err(
    `max number of clients reached: this node serves ${most} from one address. Nothing was executed. Ask another node, or let callers share connections (STEPRAFT STATUS, INFO, CLIENT LIST and CLIENT KILL are answered even now).`,
  )

const always: ReadonlySet<string> = new Set(["info", "ping", "hello", "auth", "quit", "command", "select"])
const some: Readonly<Record<string, ReadonlySet<string>>> = {
  stepraft: new Set(["status"]),
  client: new Set(["list", "kill", "id", "info", "setinfo", "setname", "getname"]),
  config: new Set(["get"]),
}

/** Whether a command is allowed on a reserved connection. */
export const isAdministrative = (known: KnownCommand | undefined, words: Words): boolean =>
  known !== undefined && (always.has(known.name) || some[known.name]?.has(wordAt(words, 1)) === true)

export const isLocal = (address: string): boolean => address.startsWith("127.") || address.startsWith("[::1]")

interface Held {
  readonly since: number
  readonly local: boolean
  readonly end: () => void
}

export class Reserve {
  private readonly held = new Set<Held>()
  private readonly places: number

  constructor(places: number) {
    this.places = places
  }

  /** Returns a function that gives the place back, or null if none is free. `end` is called when another connection takes it. */
  take(now: number, local: boolean, end: () => void): (() => void) | null {
    const places = local ? Math.ceil(this.places / 2) : Math.floor(this.places / 2)
    const same = [...this.held].filter((one) => one.local === local)
    const [oldest] = same
    if (same.length >= places) {
      if (oldest === undefined || now - oldest.since < sureMs) return null
      this.held.delete(oldest)
      oldest.end()
    }
    const mine: Held = { since: now, local, end }
    this.held.add(mine)
    return () => void this.held.delete(mine)
  }
}
