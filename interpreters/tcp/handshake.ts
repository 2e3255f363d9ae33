/**
 * Who is there. Each end of a new connection sends a preamble (8 magic bytes, 2 bytes of protocol version) and then
 * a Hello frame, the dialling end first. An end that cannot accept the other's hello answers with a Refused frame,
 * so that both can log why. Preamble and Refused keep their form in every later version of the protocol.
 */
import { lineage, holdsLess, type Configuration, type Member, type Held, type Sighting, type Start } from "../../core/index.ts"
import { MalformedBytes, Reader, readConfiguration, readMember, writeConfiguration, writeMember, Writer } from "../bytes.ts"
import { readStart, writeStart } from "../starts.ts"
import type { Refusal, RefusalReason } from "./errors.ts"
import { closeFrame, openFrame } from "./frame.ts"

export const PROTOCOL = 2
/** The first byte is neither text nor the start of a TLS record: a foreign client is told by its first byte. */
const MAGIC = Buffer.from("\u009dstepraf", "latin1")
export const PREAMBLE = MAGIC.length + 2
/** A hello fits easily; who has not said one yet is trusted with no more. */
export const HELLO_LIMIT = 256 * 1024

/** What a node says of itself to all its peers. It changes when the cluster is formed. */
export interface LocalHello {
  /** Identity of the cluster; null until it is formed. */
  readonly cluster: string | null
  /** host:port where this node serves clients. */
  readonly clientAddress: string
  /** The data directory holds nothing yet. */
  readonly empty: boolean
  /** The first configuration, once formed. */
  readonly founding: Configuration | null
  /** Which start of its directory this is. */
  readonly start: Start
  /** What its log held for good as this start found it. */
  readonly recovered: Held
  /** Its directory is not to be trusted, as a peer has told it: why. It says nothing else any more. */
  readonly refused: string | null
}
export interface Hello extends LocalHello {
  readonly protocol: number
  readonly member: Member
  /** Whom the sender believes to be speaking to. */
  readonly target: string
}

const HELLO = 0x40
const REFUSED = 0x41
const ALIVE = 0x42
const REASON = ["WrongVersion", "WrongCluster", "WrongTarget", "OwnName", "UnknownPeer", "DuplicateName", "RolledBack", "Superseded", "StartedTwice"] as const satisfies readonly RefusalReason[]

export const writePreamble = (w: Writer): void => {
  w.raw(MAGIC)
  w.u8(PROTOCOL >> 8)
  w.u8(PROTOCOL & 0xff)
}
/** null as long as the bytes so far could become a preamble. */
export const readPreamble = (bytes: Uint8Array): { readonly protocol: number } | "foreign" | null => {
  for (let i = 0; i < Math.min(bytes.length, MAGIC.length); i++) if (bytes[i] !== MAGIC[i]) return "foreign"
  const high = bytes[MAGIC.length]
  const low = bytes[MAGIC.length + 1]
  return high === undefined || low === undefined ? null : { protocol: high * 256 + low }
}

const writeNullable = <A>(w: Writer, value: A | null, write: (w: Writer, value: A) => void): void => {
  w.u8(value === null ? 0 : 1)
  if (value !== null) write(w, value)
}

export const writeHello = (w: Writer, self: Member, target: string, hello: LocalHello): void => {
  const at = openFrame(w)
  w.u8(HELLO)
  writeMember(w, self)
  w.text(target)
  writeNullable(w, hello.cluster, (w, cluster) => w.text(cluster))
  w.text(hello.clientAddress)
  w.u8(hello.empty ? 1 : 0)
  writeNullable(w, hello.founding, writeConfiguration)
  writeStart(w, hello.start)
  w.u48(hello.recovered.term)
  w.u48(hello.recovered.index)
  writeNullable(w, hello.refused, (w, why) => w.text(why))
  closeFrame(w, at)
}
export const writeRefused = (w: Writer, refusal: Refusal): void => {
  const at = openFrame(w)
  w.u8(REFUSED)
  w.u8(REASON.indexOf(refusal.reason))
  w.text(refusal.detail)
  closeFrame(w, at)
}

/** A sign of life: said when there is nothing else to say. */
export const aliveFrame = ((): Buffer => {
  const w = new Writer(16)
  const at = openFrame(w)
  w.u8(ALIVE)
  closeFrame(w, at)
  return w.take()
})()

export type HandshakeFrame = { readonly type: "Alive" } | { readonly type: "Hello"; readonly hello: Hello } | { readonly type: "Refused"; readonly refusal: Refusal }

/** null: the frame is a message. Throws MalformedBytes. */
export const readHandshake = (buffer: Buffer, from: number, to: number): HandshakeFrame | null => {
  const kind = buffer[from]
  if (kind !== HELLO && kind !== REFUSED && kind !== ALIVE) return null
  const r = new Reader(buffer, from + 1, to)
  if (kind === ALIVE) {
    r.done()
    return { type: "Alive" }
  }
  if (kind === REFUSED) {
    const reason = REASON[r.u8()]
    if (reason === undefined) throw new MalformedBytes("a refusal for an unknown reason")
    return { type: "Refused", refusal: { reason, detail: r.text() } }
  }
  const hello: Hello = {
    protocol: PROTOCOL,
    member: readMember(r),
    target: r.text(),
    cluster: r.flag() ? r.text() : null,
    clientAddress: r.text(),
    empty: r.flag(),
    founding: r.flag() ? readConfiguration(r) : null,
    start: readStart(r),
    recovered: { term: r.u48(), index: r.u48() },
    refused: r.flag() ? r.text() : null,
  }
  r.done()
  return { type: "Hello", hello }
}

export const wrongVersion = (self: Member, theirs: number): Refusal => ({
  reason: "WrongVersion",
  detail: `${self.name} speaks protocol ${PROTOCOL}, the other end ${theirs}: run the same release on both, upgrading one node at a time. No message was exchanged.`,
})

/** May these two talk? `expected` is whom this node dialled, or null if the other end dialled. */
export const judge = (self: Member, local: LocalHello, known: (name: string) => boolean, hello: Hello, expected: string | null): Refusal | null => {
  const name = hello.member.name
  if (local.cluster !== null && hello.cluster !== null && local.cluster !== hello.cluster)
    return {
      reason: "WrongCluster",
      detail: `${self.name} belongs to cluster ${local.cluster}, ${name} to ${hello.cluster}: correct the peer addresses, or give the node that is in the wrong place an empty data directory. Both kept their data.`,
    }
  if (name === self.name)
    return {
      reason: "OwnName",
      detail: `two nodes are called ${name}, or ${name} has its own address under another name in its peer list: give each node a name and an address of its own.`,
    }
  if (hello.target !== self.name)
    return { reason: "WrongTarget", detail: `${name} wanted to speak to ${hello.target}, but this is ${self.name}: correct the address of ${hello.target} in the peer list of ${name}.` }
  if (expected !== null && name !== expected)
    return { reason: "WrongTarget", detail: `${self.name} wanted to speak to ${expected}, but ${name} answered: correct the address of ${expected} in the peer list of ${self.name}.` }
  if (!known(name))
    return { reason: "UnknownPeer", detail: `${name} is not in the peer list of ${self.name}: add it there with its address, or stop ${name}.` }
  return null
}

const MEND = (name: string): string =>
  `Its vote and its acknowledgements count no more; its files were left as they are. If this was a mistake, stop it and bring the right directory back as a whole; else replace the member: stop it, give ${name} an empty directory, and take its new incarnation into the cluster.`

/** Does the start that says hello come after everything that this node has met of that directory? */
export const judgeStart = (self: Member, met: Sighting | null, hello: Hello): Refusal | null => {
  const { member, start, recovered, refused } = hello
  const { name, incarnation } = member
  if (refused !== null) return { reason: "RolledBack", detail: `${name} says of itself that its directory is not to be trusted: ${refused}` }
  if (met === null) return null
  switch (lineage(met.start, start)) {
    case "same":
      return null
    case "superseded":
      return {
        reason: "Superseded",
        detail: `${name} runs as start ${start.number} of the directory of incarnation ${incarnation}, but ${self.name} has met start ${met.start.number} of it: the directory was copied while this process had it, and the copy was started too. ${MEND(name)}`,
      }
    case "forked":
      return {
        reason: "RolledBack",
        detail: `the directory of ${name} (incarnation ${incarnation}, start ${start.number}) was put back to an earlier state, or is a copy: ${self.name} has met start ${met.start.number} of it, which this one never went through. What it acknowledged and voted in between is gone. ${MEND(name)}`,
      }
    case "later":
      if (!holdsLess(recovered, met)) return null
      return {
        reason: "RolledBack",
        detail: `the directory of ${name} (incarnation ${incarnation}, start ${start.number}) ends at term ${recovered.term}, entry ${recovered.index}, but ${name} has told ${self.name} that term ${met.term}, entry ${met.index} is on its disk: it was put back to an earlier state, or its log was cut. ${MEND(name)}`,
      }
  }
}

export const startedTwice = (self: Member, hello: Hello, live: Start): Refusal => ({
  reason: "StartedTwice",
  detail: `${self.name} is connected with another process of ${hello.member.name}, incarnation ${hello.member.incarnation}: start ${live.number} lives, this is start ${hello.start.number}. If that one has just ended this passes by itself; if not, two processes run on copies of one directory: stop one of them and empty its directory. Nothing was exchanged.`,
})

export const duplicateName = (self: Member, name: string, address: string): Refusal => ({
  reason: "DuplicateName",
  detail: `${self.name} is connected with another ${name}, of another incarnation, at ${address}: if ${name} was just replaced this passes by itself; if not, two processes use that name and one must be stopped.`,
})
