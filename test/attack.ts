import { connect } from "node:net"

/** Writes, and waits until the other side has closed or a moment has passed. */
export const attack = (port: number, chunks: readonly Uint8Array[], linger = 300): Promise<"closed" | "open"> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" })
    socket.on("error", () => undefined)
    socket.on("data", () => undefined)
    socket.on("close", () => resolve("closed"))
    for (const chunk of chunks) socket.write(chunk)
    setTimeout(() => {
      resolve("open")
      socket.destroy()
    }, linger)
  })
