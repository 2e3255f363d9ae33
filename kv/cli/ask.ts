/** One request to one node, on its own connection: for status tables, the cluster's summary line and the benchmark. */
import { type Argument, encodeRequest } from "../client/resp.ts"
import { realSurroundings } from "../../interpreters/surroundings.ts"
import { access, advised } from "./access.ts"
import { dialAs, type NodeConnection } from "../client/connection.ts"
import { type Endpoint, parseStatus, showEndpoint } from "../client/endpoints.ts"
import type { TlsProblem } from "../client/tlsTrouble.ts"
import type { NodeStatus, Reply } from "../types.ts"

/** The node could not be asked. */
export class Unasked extends Error {
  /** Why TLS could not be agreed with it; null: that was not the reason. */
  readonly tls: TlsProblem | null
  constructor(reason: string, tls: TlsProblem | null) {
    super(reason)
    this.tls = tls
  }
}

/** Rejects with the reason if the node does not answer in time, or nobody waits for it any more. */
export const ask = (
  endpoint: Endpoint,
  words: readonly Argument[],
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const connection: NodeConnection = dialAs(access())(
      endpoint,
      timeoutMs,
      {
        up: () =>
          connection.send(encodeRequest(words), (reply) => {
            clearTimeout(timer)
            connection.drop()
            resolve(reply.type === "error" ? { ...reply, text: advised(reply.code, reply.text) } : reply)
          }),
        down: (reason, lasting) => {
          clearTimeout(timer)
          reject(new Unasked(reason, lasting !== undefined && "problem" in lasting ? lasting.problem : null))
        },
      },
      realSurroundings,
    )
    const giveUp = (why: string): void => {
      clearTimeout(timer)
      connection.drop()
      reject(new Error(`${showEndpoint(endpoint)} ${why}`))
    }
    const timer = setTimeout(() => giveUp(`did not answer within ${timeoutMs} ms`), timeoutMs)
    signal?.addEventListener("abort", () => giveUp("is not waited for any more"))
  })

export const askStatus = async (endpoint: Endpoint, timeoutMs: number): Promise<NodeStatus> => {
  const reply = await ask(endpoint, ["STEPRAFT", "STATUS"], timeoutMs)
  if (reply.type === "error") throw new Error(`${showEndpoint(endpoint)} answered: ${reply.code} ${reply.text}`)
  const status = reply.type === "bulk" ? parseStatus(Buffer.from(reply.bytes).toString()) : null
  if (status === null) throw new Error(`${showEndpoint(endpoint)} is not a stepraft node`)
  return status
}
