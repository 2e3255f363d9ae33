/** The only place where sockets are made; TLS goes in here. */
import { connect, createServer, type Server, type Socket } from "node:net"

export interface Address {
  readonly host: string
  readonly port: number
}
export const addressText = (address: Address): string =>
  `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`

export const ADDRESS = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:,=\s]+)):(\d{1,5})$/u
/** null: that is no host:port. */
export const parseAddress = (text: string): Address | null => {
  const [, bracketed, plain, port] = ADDRESS.exec(text) ?? []
  const host = bracketed ?? plain
  return host === undefined || Number(port) > 65_535 ? null : { host, port: Number(port) }
}

/**
 * No Nagle: a batch is one write and must leave at once. Keep-alive after one quiet second (then each second, ten
 * times): a machine that lost power sends no reset, and two followers have nothing to say to each other.
 */
const OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000 } as const

export const dialSocket = (address: Address): Socket => connect({ ...OPTIONS, host: address.host, port: address.port })

export const listenSocket = (onConnection: (socket: Socket) => void): Server => createServer(OPTIONS, onConnection)
