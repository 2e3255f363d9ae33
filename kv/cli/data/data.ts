/**
 * get, set and the other data commands: one command through the client; its reply is decorated for people and raw in a
 * pipe.
 */
import { access, advised } from "../access.ts"
import { connect, type Client } from "../../client/client.ts"
import type { Endpoint } from "../../client/endpoints.ts"
import { ServerError } from "../../client/errors.ts"
import { exitCodes, failure } from "../../../interpreters/cli/runtime.ts"

export interface DataOptions {
  readonly endpoints: readonly Endpoint[]
  readonly timeoutMs: number
}

export const withClient = async (options: DataOptions, use: (client: Client) => Promise<void>): Promise<void> => {
  const { tls, login } = access()
  let client: Client | null = null
  try {
    client = await connect({
      ...(tls === null ? {} : { tls }),
      ...login,
      endpoints: options.endpoints,
      timeoutMs: options.timeoutMs,
      connectTimeoutMs: Math.min(2_000, options.timeoutMs),
      route: "any",
    })
    await use(client)
  } catch (error) {
    throw error instanceof ServerError ? failure(advised(error.code, error.message)) : error
  } finally {
    await client?.close()
  }
}

const onTerminal = (): boolean => process.stdout.isTTY
const print = (text: string | Uint8Array): void => {
  process.stdout.write(text)
  process.stdout.write("\n")
}

/** Like redis-cli: in quotes, with escapes for characters that a terminal cannot show. */
const quoted = (bytes: Uint8Array): string => {
  const text = Buffer.from(bytes).toString()
  const readable = Buffer.from(text).equals(bytes)
    ? JSON.stringify(text)
    : `"${[...bytes].map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`)).join("")}"`
  return readable
}

export const printValue = (value: Uint8Array | null): void => {
  if (value === null) {
    if (onTerminal()) print("(nil)")
    throw failure("", exitCodes.failed)
  }
  printBytes(value)
}
/** Prints an empty line if there is no value. */
export const printNow = (value: Uint8Array | null): void =>
  value === null ? print(onTerminal() ? "(nil)" : "") : printBytes(value)
const printBytes = (value: Uint8Array): void => {
  print(onTerminal() ? quoted(value) : value)
}
export const printInteger = (value: number | bigint): void => print(onTerminal() ? `(integer) ${value}` : String(value))
/** Prints whether it was done, or not done because its condition did not hold. */
export const printDone = (done: boolean): void => {
  print(done ? "OK" : onTerminal() ? "(nil)" : "")
  if (!done) throw failure("", exitCodes.failed)
}
export const printSwap = (done: boolean): void => {
  printInteger(done ? 1 : 0)
  if (!done) throw failure("", exitCodes.failed)
}
export const printKeys = async (keys: AsyncIterable<string>): Promise<void> => {
  let at = 0
  for await (const key of keys) print(onTerminal() ? `${(at += 1)}) ${quoted(Buffer.from(key))}` : key)
}
export const printText = (text: unknown): void => void process.stdout.write(String(text).replaceAll("\r\n", "\n"))
