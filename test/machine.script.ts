/** A log of sessions by hand, for tests: which session is opened or closed, or runs a command, entry by entry. */
import type { Entry } from "../core/index.ts"
import { NODE_OWNER } from "../kv/machine/index.ts"
import type { Command } from "../kv/types.ts"
import { buffers, entryOf, secretFor } from "./machine.kit.ts"

export class Script {
  readonly entries: Entry[] = []
  time = 1000
  add(command: Command): this {
    this.entries.push(entryOf(this.entries.length + 1, this.time, command))
    return this
  }
  /** By session; a node's has none. */
  private readonly secrets = new Map<number, Buffer | null>()
  secretOf(session: number): Buffer | null {
    return this.secrets.get(session) ?? null
  }
  open(owner: string, secret = `t${this.entries.length + 1}`): this {
    this.secrets.set(this.entries.length + 1, owner.startsWith(NODE_OWNER) ? null : secretFor(secret))
    return this.add({ type: "OpenSession", owner, secret: secretFor(secret) })
  }
  close(session: number, secret = this.secretOf(session) ?? secretFor("")): this {
    return this.add({ type: "CloseSession", session, secret })
  }
  run(session: number, sequence: number, lowest: number, ...words: string[]): this {
    return this.add({
      type: "Execute",
      session,
      secret: this.secretOf(session),
      sequence,
      lowest,
      exec: false,
      watches: [],
      calls: [buffers(...words)],
    })
  }
  exec(session: number, sequence: number, watches: readonly (readonly [string, number])[], ...calls: string[]): this {
    const watched = watches.map(([key, version]) => ({ key: Buffer.from(key), version }))
    return this.add({
      type: "Execute",
      session,
      secret: this.secretOf(session),
      sequence,
      lowest: 1,
      exec: true,
      watches: watched,
      calls: calls.map((call) => buffers(...call.split(" "))),
    })
  }
}
