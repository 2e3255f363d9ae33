/**
 * Short records as bytes, readable and writable in every runtime. (The log and the peer protocol use
 * interpreters/bytes.ts, which needs Node.)
 */
import { MalformedBytes } from "../../malformed.ts"
import { textOf, utf8 } from "../../octets.ts"

const HIGH = 2 ** 32

/** Big-endian, as in interpreters/bytes.ts. `u48`: a count. */
export class RecordWriter {
  private into: Uint8Array<ArrayBuffer>
  private view: DataView
  private length = 0
  constructor(capacity: number) {
    this.into = new Uint8Array(capacity)
    this.view = new DataView(this.into.buffer)
  }
  private room(bytes: number): number {
    const at = this.length
    this.length += bytes
    if (this.length > this.into.length) {
      const grown = new Uint8Array(Math.max(this.length, this.into.length * 2))
      grown.set(this.into)
      this.into = grown
      this.view = new DataView(grown.buffer)
    }
    return at
  }
  u8(value: number): void {
    const at = this.room(1)
    this.view.setUint8(at, value)
  }
  u32(value: number): void {
    const at = this.room(4)
    this.view.setUint32(at, value)
  }
  u48(value: number): void {
    const at = this.room(6)
    this.view.setUint16(at, Math.floor(value / HIGH))
    this.view.setUint32(at + 2, value % HIGH)
  }
  bytes(bytes: Uint8Array): void {
    this.u32(bytes.length)
    const at = this.room(bytes.length)
    this.into.set(bytes, at)
  }
  text(text: string): void {
    this.bytes(utf8(text))
  }
  take(): Uint8Array<ArrayBuffer> {
    return this.into.subarray(0, this.length)
  }
}

/** Reads what a RecordWriter wrote; every read checks that the bytes are there. Throws MalformedBytes. */
export class RecordReader {
  private readonly from: Uint8Array
  private readonly view: DataView
  private at = 0
  constructor(bytes: Uint8Array) {
    this.from = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }
  private step(bytes: number): number {
    const { at } = this
    const left = this.from.length - at
    if (bytes > left) throw new MalformedBytes(`${bytes} bytes wanted at offset ${at}, ${left} left`)
    this.at += bytes
    return at
  }
  u8(): number {
    return this.view.getUint8(this.step(1))
  }
  u32(): number {
    return this.view.getUint32(this.step(4))
  }
  u48(): number {
    const at = this.step(6)
    return this.view.getUint16(at) * HIGH + this.view.getUint32(at + 2)
  }
  /** A view, not a copy: it keeps the whole record alive. */
  bytes(): Uint8Array {
    const size = this.u32()
    const at = this.step(size)
    return new Uint8Array(this.from.buffer, this.from.byteOffset + at, size)
  }
  text(): string {
    const bytes = this.bytes()
    const text = textOf(bytes)
    // Bytes that are no UTF-8 are read as others than they are.
    if (text.includes("\ufffd")) {
      const again = utf8(text)
      if (again.length !== bytes.length || again.some((byte, at) => byte !== bytes[at]))
        throw new MalformedBytes(`a text of ${bytes.length} bytes is not UTF-8`)
    }
    return text
  }
  done(): void {
    if (this.at !== this.from.length) throw new MalformedBytes(`${this.from.length - this.at} bytes left over`)
  }
}
