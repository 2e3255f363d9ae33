/** What one client is still to get: gathered during a turn, written once, never more handed to the socket than it takes. */
import type { Socket } from "node:net"
import type { Sink } from "./encode.ts"

/** Bytes given to the socket ahead of what the kernel has taken; what lies beyond waits here, where it can be counted. */
const window = 1024 * 1024

export class Output implements Sink {
  text = ""
  private readonly socket: Socket
  private pieces: Uint8Array[] = []
  private pieceBytes = 0

  constructor(socket: Socket) {
    this.socket = socket
  }

  bytes(bytes: Uint8Array): void {
    this.seal()
    this.pieces.push(bytes)
    this.pieceBytes += bytes.length
  }

  /** What the socket has not been given yet. */
  get unsent(): number {
    return this.text.length + this.pieceBytes
  }

  /** Everything that the client has not taken yet. */
  get buffered(): number {
    return this.unsent + this.socket.writableLength
  }

  /** One write if all of it is small, as it nearly always is. */
  flush(): void {
    const { socket } = this
    if (this.pieces.length === 0 && socket.writableLength === 0 && this.text.length <= window) {
      if (this.text === "") return
      const text = this.text
      this.text = ""
      socket.write(text, "latin1")
      return
    }
    if (socket.writableLength >= window) return
    this.seal()
    socket.cork()
    let taken = 0
    while (taken < this.pieces.length && socket.writableLength < window) {
      const piece = this.pieces[taken++]
      if (piece === undefined) break
      this.pieceBytes -= piece.length
      socket.write(piece)
    }
    this.pieces.splice(0, taken)
    socket.uncork()
  }

  private seal(): void {
    if (this.text === "") return
    for (let at = 0; at < this.text.length; at += window) this.pieces.push(Buffer.from(this.text.slice(at, at + window), "latin1"))
    this.pieceBytes += this.text.length
    this.text = ""
  }
}
