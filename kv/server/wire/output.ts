/**
 * The replies for one client: collected during a turn, written once, and given to the socket no faster than it accepts
 * them.
 */
import type { Socket } from "node:net"
import type { Sink } from "./encode.ts"

/**
 * How many bytes are given to the socket beyond what the kernel has accepted; further bytes wait here, where they can
 * be counted.
 */
const window = 1024 * 1024
/** A bulk string of at least this length is sent without a copy. */
const uncopied = 16 * 1024
const pageBytes = 64 * 1024
/** The rest of a page is dropped if it is smaller than this. */
const restBytes = 2 * 1024

/** The unused rest of a page after a flush, for the next client that needs a page. */
let spare: Buffer | null = null

type Wire = Pick<Socket, "write" | "cork" | "uncork" | "writableLength">

export class Output implements Sink {
  text = ""
  private readonly socket: Wire
  /** Copied bulk strings, and the text between them, are collected here from the front. */
  private page: Buffer | null = null
  private filled = 0
  private pieces: Uint8Array[] = []
  private pieceBytes = 0

  constructor(socket: Wire) {
    this.socket = socket
  }

  bytes(bytes: Uint8Array): void {
    if (bytes.length >= uncopied) {
      this.seal()
      this.keep(bytes)
      return
    }
    const page = this.room(this.text.length + bytes.length)
    this.writeText(page)
    page.set(bytes, this.filled)
    this.filled += bytes.length
  }

  /** The bytes that the socket has not been given yet. */
  get unsent(): number {
    return this.text.length + this.filled + this.pieceBytes
  }

  /** The bytes that the client has not accepted yet. */
  get buffered(): number {
    return this.unsent + this.socket.writableLength
  }

  /** Drops the bytes that the socket has not been given. */
  clear(): void {
    this.text = ""
    this.page = null
    this.filled = 0
    this.pieces = []
    this.pieceBytes = 0
  }

  /** Makes one write if everything is small, as it nearly always is. */
  flush(): void {
    const { socket } = this
    if (this.page === null && this.pieces.length === 0 && this.text.length < uncopied && socket.writableLength === 0) {
      if (this.text === "") return
      const { text } = this
      this.text = ""
      socket.write(text, "latin1")
      return
    }
    if (socket.writableLength >= window) return
    this.seal()
    if (this.pieces.length > 1) socket.cork()
    let taken = 0
    while (taken < this.pieces.length && socket.writableLength < window) {
      const piece = this.pieces[taken++]
      if (piece === undefined) break
      this.pieceBytes -= piece.length
      socket.write(piece)
    }
    this.pieces = taken === this.pieces.length ? [] : this.pieces.slice(taken)
    socket.uncork()
  }

  /** Turns the collected text and copies into pieces. */
  private seal(): void {
    if (this.text !== "") this.writeText(this.room(this.text.length))
    if (this.page === null) return
    this.keep(this.page.subarray(0, this.filled))
    if (this.page.length - this.filled >= restBytes) spare = this.page.subarray(this.filled)
    this.page = null
    this.filled = 0
  }

  private keep(piece: Uint8Array): void {
    this.pieces.push(piece)
    this.pieceBytes += piece.length
  }

  private room(bytes: number): Buffer {
    if (this.page !== null && this.page.length - this.filled >= bytes) return this.page
    if (this.page !== null) this.keep(this.page.subarray(0, this.filled))
    let page = spare
    spare = null
    if (page === null || page.length < bytes) page = Buffer.allocUnsafe(Math.max(bytes, pageBytes))
    this.page = page
    this.filled = 0
    return page
  }

  private writeText(page: Buffer): void {
    if (this.text === "") return
    this.filled += page.write(this.text, this.filled, "latin1")
    this.text = ""
  }
}

const lingerMs = 1_000
/** A client that still sends must not lose its last reply to a reset: its input is read and dropped for a while. */
export const endGently = (socket: Socket): void => {
  socket.end()
  socket.resume()
  setTimeout(() => socket.destroy(), lingerMs).unref()
}

export const unreadRepliesText = (bytes: number): string => `${bytes} bytes of replies not read`
