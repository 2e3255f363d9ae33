/**
 * The binary form of a Command: the payload of a log entry. It is on the path of every write, so it is coded by hand:
 * lengths are varints (one byte below 128), sessions and sequences take 48 bits, and decoded arguments are views of the
 * payload.
 *
 * Commands of nodes and of clients are of different kinds: no request of a client can become a command of a node.
 */
import { MalformedBytes } from "../../interpreters/bytes.ts"
import { MAX_WORDS } from "./cost.ts"
import { SECRET_BYTES } from "../sessionKey.ts"
import type { Call, Command, Watch } from "../types.ts"

const TICK = 0
const OPEN = 1
const CLOSE = 2
const EXECUTE = 3
const EXECUTE_ALONE = 4
const EXECUTE_EXEC = 5
/**
 * Added to one of the three kinds above for a command in a client's session: then the session's secret follows the
 * header.
 */
const IN_CLIENTS_SESSION = 3
const HEADER = 19
/** Not a kind: stands for a payload without any bytes. */
const EMPTY = 255

/** An Execute with a readable session and sequence but an unreadable body: it is answered, not executed. */
export interface Malformed {
  readonly type: "Malformed"
  /** 0: even these cannot be read. */
  readonly session: number
  readonly secret: Uint8Array | null
  readonly sequence: number
  readonly lowest: number
  readonly detail: string
}

const varintSize = (value: number): number => {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}
const blobSize = (bytes: Uint8Array): number => varintSize(bytes.length) + bytes.length
const callSize = (call: Call): number => {
  let size = varintSize(call.length)
  for (const argument of call) size += blobSize(argument)
  return size
}

class Cursor {
  readonly buffer: Buffer
  at: number
  private words = 0
  constructor(buffer: Buffer, at: number) {
    this.buffer = buffer
    this.at = at
  }
  varint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.buffer[this.at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.buffer[this.at++] = rest
  }
  blob(bytes: Uint8Array): void {
    this.varint(bytes.length)
    this.buffer.set(bytes, this.at)
    this.at += bytes.length
  }
  u48(value: number): void {
    this.buffer.writeUIntBE(value, this.at, 6)
    this.at += 6
  }
  call(call: Call): void {
    this.varint(call.length)
    for (const argument of call) this.blob(argument)
  }
  readU48(): number {
    const value = this.buffer.readUIntBE(this.at, 6)
    this.at += 6
    return value
  }
  secret(secret: Uint8Array): void {
    if (secret.length !== SECRET_BYTES) throw new MalformedBytes(`a secret of ${secret.length} bytes`)
    this.buffer.set(secret, this.at)
    this.at += SECRET_BYTES
  }
  readSecret(): Buffer {
    const from = this.at
    this.at = from + SECRET_BYTES
    if (this.at > this.buffer.length) throw new MalformedBytes("the command ends within a secret")
    return this.buffer.subarray(from, this.at)
  }
  readVarint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 7; i++) {
      const byte = this.buffer[this.at++]
      if (byte === undefined) throw new MalformedBytes("the command ends within a length")
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 0x80
    }
    throw new MalformedBytes("a length takes more than 7 bytes")
  }
  readBlob(): Buffer {
    const size = this.readVarint()
    const from = this.at
    if (size > this.buffer.length - from)
      throw new MalformedBytes(`${size} bytes wanted, ${this.buffer.length - from} left`)
    this.at = from + size
    return this.buffer.subarray(from, this.at)
  }
  /**
   * A count of items of at least one byte each, so that a wrong count cannot make us allocate much. All counts together
   * are at most MAX_WORDS, because decoding takes time for each item.
   */
  readCount(before = 0): number {
    const count = this.readVarint()
    if (before + count > MAX_WORDS)
      throw new MalformedBytes(`at least ${before + count} words, but at most ${MAX_WORDS} are allowed`)
    if (count > this.buffer.length - this.at)
      throw new MalformedBytes(`${count} items do not fit into ${this.buffer.length - this.at} bytes`)
    return count
  }
  readCall(): Call {
    const count = this.readCount(this.words)
    this.words += count
    const call: Buffer[] = []
    for (let i = 0; i < count; i++) call.push(this.readBlob())
    return call
  }
}

export const encodeCommand = (command: Command): Buffer => {
  switch (command.type) {
    case "Tick":
      return Buffer.from([TICK])
    case "OpenSession": {
      const owner = Buffer.from(command.owner)
      const cursor = new Cursor(Buffer.allocUnsafe(1 + SECRET_BYTES + blobSize(owner)), 1)
      cursor.buffer[0] = OPEN
      cursor.secret(command.secret)
      cursor.blob(owner)
      return cursor.buffer
    }
    case "CloseSession": {
      const cursor = new Cursor(Buffer.allocUnsafe(7 + SECRET_BYTES), 1)
      cursor.buffer[0] = CLOSE
      cursor.u48(command.session)
      cursor.secret(command.secret)
      return cursor.buffer
    }
    case "Execute": {
      const { calls, watches, secret } = command
      const first = calls[0]
      const alone = !command.exec && watches.length === 0 && calls.length === 1 && first !== undefined
      let size = secret === null ? HEADER : HEADER + SECRET_BYTES
      if (alone) size += callSize(first)
      else {
        size += varintSize(watches.length) + varintSize(calls.length)
        for (const watch of watches) size += blobSize(watch.key) + 6
        for (const call of calls) size += callSize(call)
      }
      const cursor = new Cursor(Buffer.allocUnsafe(size), 1)
      cursor.buffer[0] =
        (alone ? EXECUTE_ALONE : command.exec ? EXECUTE_EXEC : EXECUTE) + (secret === null ? 0 : IN_CLIENTS_SESSION)
      cursor.u48(command.session)
      cursor.u48(command.sequence)
      cursor.u48(command.lowest)
      if (secret !== null) cursor.secret(secret)
      if (alone) cursor.call(first)
      else {
        cursor.varint(watches.length)
        for (const watch of watches) {
          cursor.blob(watch.key)
          cursor.u48(watch.version)
        }
        cursor.varint(calls.length)
        for (const call of calls) cursor.call(call)
      }
      return cursor.buffer
    }
  }
}

const readWatches = (cursor: Cursor): Watch[] =>
  Array.from({ length: cursor.readCount() }, () => ({ key: cursor.readBlob(), version: cursor.readU48() }))

const decode = (kind: number, cursor: Cursor): Command => {
  switch (kind) {
    case TICK:
      return { type: "Tick" }
    case OPEN:
      return { type: "OpenSession", secret: cursor.readSecret(), owner: cursor.readBlob().toString() }
    case CLOSE:
      return { type: "CloseSession", session: cursor.readU48(), secret: cursor.readSecret() }
    case EXECUTE_ALONE:
    case EXECUTE_ALONE + IN_CLIENTS_SESSION: {
      const session = cursor.readU48()
      const sequence = cursor.readU48()
      const lowest = cursor.readU48()
      const secret = kind === EXECUTE_ALONE ? null : cursor.readSecret()
      return {
        type: "Execute",
        session,
        secret,
        sequence,
        lowest,
        exec: false,
        watches: [],
        calls: [cursor.readCall()],
      }
    }
    case EXECUTE:
    case EXECUTE_EXEC:
    case EXECUTE + IN_CLIENTS_SESSION:
    case EXECUTE_EXEC + IN_CLIENTS_SESSION: {
      const session = cursor.readU48()
      const sequence = cursor.readU48()
      const lowest = cursor.readU48()
      const secret = kind <= EXECUTE_EXEC ? null : cursor.readSecret()
      const exec = kind === EXECUTE_EXEC || kind === EXECUTE_EXEC + IN_CLIENTS_SESSION
      const watches = readWatches(cursor)
      const calls = Array.from({ length: cursor.readCount() }, () => cursor.readCall())
      return { type: "Execute", session, secret, sequence, lowest, exec, watches, calls }
    }
    default:
      throw new MalformedBytes(`a command of the unknown kind ${kind}`)
  }
}

/** Never throws: every node must read the same from any bytes in the log. */
export const decodeCommand = (bytes: Uint8Array): Command | Malformed => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const cursor = new Cursor(buffer, 1)
  const kind = buffer[0] ?? EMPTY
  try {
    const command = decode(kind, cursor)
    if (cursor.at !== buffer.length) throw new MalformedBytes(`${buffer.length - cursor.at} bytes left over`)
    return command
  } catch (thrown) {
    const detail = thrown instanceof Error ? thrown.message : String(thrown)
    const clients = kind > EXECUTE_EXEC
    const addressed =
      kind >= EXECUTE &&
      kind <= EXECUTE_EXEC + IN_CLIENTS_SESSION &&
      buffer.length >= HEADER + (clients ? SECRET_BYTES : 0)
    if (!addressed) return { type: "Malformed", session: 0, secret: null, sequence: 0, lowest: 0, detail }
    const header = new Cursor(buffer, 1)
    return {
      type: "Malformed",
      session: header.readU48(),
      sequence: header.readU48(),
      lowest: header.readU48(),
      secret: clients ? header.readSecret() : null,
      detail,
    }
  }
}
