/** The tools of a hostile client. It keeps to the protocol, but does everything that the protocol allows. */
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { makeRandom, type Random } from "../../interpreters/simulation/index.ts"
import { newTally, Skimmer, type Tally } from "./skim.ts"

export type Word = string | number | Uint8Array

/** Encodes any number of words: a function call can pass only about 100,000 as arguments. */
export const requestOf = (words: readonly Word[]): Buffer => {
  const parts: Uint8Array[] = [Buffer.from(`*${words.length}\r\n`)]
  for (const word of words) {
    const bytes = word instanceof Uint8Array ? word : Buffer.from(String(word))
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"))
  }
  return Buffer.concat(parts)
}
export const request = (...words: readonly Word[]): Buffer => requestOf(words)

export class Wire {
  readonly skimmer: Skimmer
  closed = false
  private readonly socket: Socket

  constructor(socket: Socket, tally: Tally) {
    this.socket = socket
    this.skimmer = new Skimmer(tally)
    socket.on("data", (chunk: Buffer) => this.skimmer.push(chunk))
    socket.on("error", () => undefined)
    socket.on("close", () => {
      this.closed = true
    })
  }

  /** Reads no more replies from now on. */
  deaf(): void {
    this.socket.pause()
  }
  hear(): void {
    this.socket.resume()
  }
  /** Ends once the operating system has taken the bytes, or when it will not take them soon. */
  async write(bytes: Uint8Array | string, patience = 2000): Promise<void> {
    if (this.closed || this.socket.write(bytes)) return
    await Promise.race([
      once(this.socket, "drain").catch(() => undefined),
      once(this.socket, "close").catch(() => undefined),
      sleep(patience),
    ])
  }
  send(...words: readonly Word[]): Promise<void> {
    return this.write(requestOf(words))
  }
  /** Whether this many more replies arrived in time. */
  async answered(count: number, within: number): Promise<boolean> {
    const wanted = this.skimmer.answers + count
    return this.reaches(wanted, within)
  }
  async reaches(wanted: number, within: number): Promise<boolean> {
    const deadline = performance.now() + within
    while (this.skimmer.answers < wanted && !this.closed && performance.now() < deadline) await sleep(10)
    return this.skimmer.answers >= wanted
  }
  /**
   * One command and its reply: an error as `-CODE text`, a number, or a short text; null for any other reply, and for
   * none.
   */
  ask(...words: readonly Word[]): Promise<string | number | null> {
    return this.askFor(words)
  }
  async askFor(words: readonly Word[]): Promise<string | number | null> {
    const wanted = this.skimmer.answers + 1
    await this.write(requestOf(words))
    return (await this.reaches(wanted, 20_000)) ? this.skimmer.last : null
  }
  /** Sends nothing more, only a FIN, as programs do that end politely. */
  end(): void {
    this.socket.end()
  }
  drop(): void {
    this.closed = true
    this.socket.resetAndDestroy()
  }
}

export interface Foe {
  readonly ports: readonly number[]
  readonly random: Random
  readonly tally: Tally
  /** The value of performance.now() at which the attack should be over. */
  readonly deadline: number
  readonly over: () => boolean
  /** Connects to node `at` of the list; null if it does not accept the connection. */
  readonly wire: (at?: number) => Promise<Wire | null>
  /** Connections spread over all nodes in turn, or to one of them. */
  readonly wires: (count: number, node?: number) => Promise<readonly Wire[]>
  /** Adds a remark to the report. */
  readonly note: (text: string) => void
  /** Reports that a demand of the scenario was not met. */
  readonly complain: (text: string) => void
}

export interface Outcome {
  readonly tally: Tally
  readonly refusedConnections: number
  readonly closedConnections: number
  readonly notes: readonly string[]
  readonly complaints: readonly string[]
}

const dial = (port: number): Promise<Socket | null> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true })
    const timer = setTimeout(() => {
      socket.destroy()
      resolve(null)
    }, 10_000)
    socket.once("error", () => {
      clearTimeout(timer)
      resolve(null)
    })
    socket.once("connect", () => {
      clearTimeout(timer)
      socket.removeAllListeners("error")
      resolve(socket)
    })
  })

export const makeFoe = (
  ports: readonly number[],
  seed: number,
  seconds: number,
): { readonly foe: Foe; readonly outcome: () => Outcome } => {
  const tally = newTally()
  const deadline = performance.now() + seconds * 1000
  const opened: Wire[] = []
  const notes: string[] = []
  const complaints: string[] = []
  let refused = 0
  const wire = async (at = opened.length): Promise<Wire | null> => {
    const socket = await dial(ports[at % ports.length] ?? 0)
    if (socket === null) {
      refused++
      return null
    }
    const made = new Wire(socket, tally)
    opened.push(made)
    return made
  }
  const foe: Foe = {
    ports,
    tally,
    deadline,
    wire,
    random: makeRandom(seed),
    over: () => performance.now() > deadline,
    wires: async (count, node) => {
      const made: Wire[] = []
      // The backlog of a listening socket is short, so only a few connections are opened at a time.
      for (let at = 0; at < count; at += 50) {
        const some = await Promise.all(Array.from({ length: Math.min(50, count - at) }, (_, i) => wire(node ?? at + i)))
        for (const one of some) if (one !== null) made.push(one)
      }
      return made
    },
    note: (text) => void notes.push(text),
    complain: (text) => void complaints.push(text),
  }
  return {
    foe,
    outcome: () => ({
      tally,
      refusedConnections: refused,
      closedConnections: opened.filter(({ closed }) => closed).length,
      notes,
      complaints,
    }),
  }
}
