/**
 * Who is there. Each end of a new connection sends a preamble (8 magic bytes, 2 bytes of protocol version) and then
 * a Hello frame, the dialling end first. An end that cannot accept the other's hello answers with a Refused frame,
 * so that both can log why. Preamble and Refused keep their form in every later version of the protocol.
 */
import type { Member } from "../../core/index.ts"
import { MalformedBytes, Reader, readConfiguration, readMember, readStart, writeConfiguration, writeMember, Writer, writeStart } from "../bytes.ts"
import type { Hello, LocalHello, Refusal, RefusalReason } from "../hello.ts"
import { closeFrame, openFrame } from "./frame.ts"

export const PROTOCOL = 2
/** The first byte is neither text nor the start of a TLS record: a foreign client is told by its first byte. */
const MAGIC = Buffer.from("\u009dstepraf", "latin1")
export const PREAMBLE = MAGIC.length + 2
/** A hello fits easily; who has not said one yet is trusted with no more. */
export const HELLO_LIMIT = 256 * 1024

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
