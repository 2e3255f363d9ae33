/**
 * The handshake. Each end of a new connection sends a preamble (8 magic bytes, the lowest and the highest version of the
 * protocol that it speaks, 2 bytes each) and then a Hello frame, the dialling end first. They speak the highest version that
 * both know. An end that cannot accept the other's hello answers with a Refused frame, so that both can log why.
 *
 * Preamble, Hello and Refused are read before a version is agreed on, so they keep their form in every later one; a Hello may
 * get more fields at its end, which older versions skip.
 */
import { type Member } from "../../core/index.ts"
import {
  MalformedBytes,
  ByteReader,
  readConfiguration,
  readMember,
  readStart,
  writeConfiguration,
  writeMember,
  ByteWriter,
  writeStart,
} from "../bytes.ts"
import { ownFeatures, type Features } from "../features.ts"
import { forWhom, type Hello, type LocalHello, type Refusal, type HelloRefusalReason } from "../hello.ts"
import { isPlainText, shown } from "../text.ts"
import { closeFrame, openFrame } from "./frame.ts"

/** The versions of the protocol that this node speaks. 6: configurations carry the feature level, hellos the release. */
export const PROTOCOLS: Protocols = { lowest: 6, highest: 6 }
export interface Protocols {
  readonly lowest: number
  readonly highest: number
}
/** The highest version that both ends speak, or null. */
export const agreedOn = (theirs: Protocols): number | null => {
  const highest = Math.min(PROTOCOLS.highest, theirs.highest)
  return highest < PROTOCOLS.lowest || highest < theirs.lowest ? null : highest
}
/**
 * The first byte is neither text nor the start of a TLS record, so that a foreign client is recognised by its first
 * byte.
 */
const MAGIC = Buffer.from("\u009dstepraf", "latin1")
export const PREAMBLE = MAGIC.length + 4
/** Large enough for a hello; until its hello arrives a connection may not send a larger frame. */
export const HELLO_LIMIT = 256 * 1024

/** What a node sends in its hello to one of its peers. */
export interface Greeting extends LocalHello {
  /** Where the sender listens for peers. */
  readonly listens: string
  /** The address that others should dial; empty: they use their own lists. */
  readonly advertises: string
  /** The address at which the sender dials the receiver. */
  readonly dials: string
}
export interface PeerHello extends Hello, Greeting {
  readonly features: Features
}

const HELLO = 0x40
const REFUSED = 0x41
const ALIVE = 0x42
const ECHO = 0x43
const REASON = [
  "WrongVersion",
  "WrongCluster",
  "WrongTarget",
  "OwnName",
  "UnknownPeer",
  "DuplicateName",
  "RolledBack",
  "Superseded",
  "StartedTwice",
  "Untrusted",
  "LevelTooLow",
] as const satisfies readonly HelloRefusalReason[]

export const writePreamble = (w: ByteWriter): void => {
  w.raw(MAGIC)
  for (const version of [PROTOCOLS.lowest, PROTOCOLS.highest]) {
    w.u8(version >> 8)
    w.u8(version & 0xff)
  }
}
/** null while the bytes so far may be the beginning of a preamble. */
export const readPreamble = (bytes: Uint8Array): Protocols | "foreign" | null => {
  for (let i = 0; i < Math.min(bytes.length, MAGIC.length); i++) if (bytes[i] !== MAGIC[i]) return "foreign"
  if (bytes.length < PREAMBLE) return null
  const at = (place: number): number =>
    (bytes[MAGIC.length + place] ?? 0) * 256 + (bytes[MAGIC.length + place + 1] ?? 0)
  return { lowest: at(0), highest: at(2) }
}

const writeNullable = <A>(w: ByteWriter, value: A | null, write: (w: ByteWriter, value: A) => void): void => {
  w.u8(value === null ? 0 : 1)
  if (value !== null) write(w, value)
}

export const writeHello = (w: ByteWriter, self: Member, target: string, hello: Greeting): void => {
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
  w.text(hello.listens)
  w.text(hello.advertises)
  w.text(hello.dials)
  const { version, level, clusterLevel } = hello.features ?? ownFeatures
  w.text(version)
  w.u32(level)
  w.u32(clusterLevel)
  closeFrame(w, at)
}
export const writeRefused = (w: ByteWriter, refusal: Refusal): void => {
  const at = openFrame(w)
  w.u8(REFUSED)
  w.u8(REASON.indexOf(refusal.reason))
  w.text(refusal.detail)
  closeFrame(w, at)
}

const signFrame = (kind: number, number: number): Buffer => {
  const w = new ByteWriter(16)
  const at = openFrame(w)
  w.u8(kind)
  w.u48(number)
  closeFrame(w, at)
  return w.take()
}
/** A keep-alive; number 0 wants no echo. */
export const aliveFrame = (number: number): Buffer => signFrame(ALIVE, number)
export const echoFrame = (number: number): Buffer => signFrame(ECHO, number)

export type KeepAliveFrame =
  | { readonly type: "Alive"; readonly number: number }
  | { readonly type: "Echo"; readonly number: number }
export type HandshakeFrame =
  | KeepAliveFrame
  | { readonly type: "Hello"; readonly hello: PeerHello }
  | { readonly type: "Refused"; readonly refusal: Refusal }

/** Names and addresses are short and printable; a longer one was not sent by one of our nodes. */
const LONGEST_NAME = 256
/** The limit of a refusal's text, as the peer words it. */
const LONGEST_REASON = 2000
const requirePlain = (names: readonly (string | null)[]): void => {
  for (const name of names) {
    if (name !== null && !isPlainText(name, LONGEST_NAME))
      throw new MalformedBytes(`a hello with a name of ${name.length} characters that no node has: ${shown(name, 40)}`)
  }
}

/** null: the frame is a message. Throws MalformedBytes. */
export const readHandshake = (buffer: Buffer, from: number, to: number): HandshakeFrame | null => {
  const kind = buffer[from]
  if (kind !== HELLO && kind !== REFUSED && kind !== ALIVE && kind !== ECHO) return null
  const r = new ByteReader(buffer, from + 1, to)
  if (kind === ALIVE || kind === ECHO) {
    const number = r.u48()
    r.done()
    return kind === ALIVE ? { type: "Alive", number } : { type: "Echo", number }
  }
  if (kind === REFUSED) {
    const reason = REASON[r.u8()]
    if (reason === undefined) throw new MalformedBytes("a refusal for an unknown reason")
    return { type: "Refused", refusal: { reason, detail: shown(r.text(), LONGEST_REASON) } }
  }
  const hello: PeerHello = {
    member: readMember(r),
    target: r.text(),
    cluster: r.flag() ? r.text() : null,
    clientAddress: r.text(),
    empty: r.flag(),
    founding: r.flag() ? readConfiguration(r) : null,
    start: readStart(r),
    recovered: { term: r.u48(), index: r.u48() },
    refused: r.flag() ? shown(r.text(), LONGEST_REASON) : null,
    listens: r.text(),
    advertises: r.text(),
    dials: r.text(),
    features: { version: r.text(), level: r.u32(), clusterLevel: r.u32() },
  }
  const { founding } = hello
  // Not membersOf, which tells each name once.
  const founders = founding === null ? [] : [...founding.voters, ...founding.outgoing, ...founding.learners]
  requirePlain([
    ...[hello.member, ...founders].flatMap(({ name, incarnation }) => [name, incarnation]),
    ...Object.entries(founding?.addresses ?? {}).flat(),
    hello.target,
    hello.cluster,
    hello.clientAddress,
    hello.listens,
    hello.advertises,
    hello.dials,
    hello.features.version,
  ])
  return { type: "Hello", hello }
}

export const untrusted = (self: Member, why: string): Refusal => ({
  reason: "Untrusted",
  detail: `${self.name} looked at the other end's certificate: ${why}. No message was exchanged.`,
})
/** `certified`: the name in the certificate of whoever answered where `dialled` is said to be. */
export const wrongAnswer = (self: Member, dialled: string, certified: string): Refusal => ({
  reason: "Untrusted",
  detail: `${self.name} dialled ${dialled}, and somebody answered, but its certificate is ${forWhom(certified)}: correct the address of ${dialled} in the peer list of ${self.name}, or give ${dialled} a certificate of its own name (stepraft cert node ${dialled}). Nothing was exchanged.`,
})
const spoken = ({ lowest, highest }: Protocols): string => (highest > lowest ? `${lowest} to ${highest}` : `${lowest}`)
export const wrongVersion = (self: Member, theirs: Protocols): Refusal => ({
  reason: "WrongVersion",
  detail: `${self.name} speaks protocol ${spoken(PROTOCOLS)}, the other end ${spoken(theirs)}, so they have no version in common: upgrade over a release that speaks both, one node at a time. No message was exchanged.`,
})
