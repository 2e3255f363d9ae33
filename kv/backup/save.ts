/**
 * Takes a backup from a running node through its client port: piece by piece, each written to the disk before the next
 * is requested.
 */
import { realSurroundings } from "../../interpreters/surroundings.ts"
import { inTheClear, type Access } from "../client/access.ts"
import { dialAs, type NodeConnection } from "../client/connection.ts"
import { showEndpoint, type Endpoint } from "../client/endpoints.ts"
import { encodeRequest } from "../client/resp.ts"
import type { Reply } from "../types.ts"
import { BackupInterrupted, BackupRefused, isForbidden } from "./errors.ts"
import { writeBackup, type About, type SavedBackup } from "./file.ts"

export interface Saving {
  readonly from: Endpoint
  /** The TLS files and the login to use. */
  readonly access?: Access
  readonly file: string
  /** Save what the node has executed, whether or not there is a leader. */
  readonly local: boolean
  /** How long the node may take for each answer, in milliseconds. */
  readonly timeout: number
  /** Called after each piece, with what the backup holds and the bytes so far. */
  readonly progress?: (bytes: number, about: About) => void
}

interface Asking {
  readonly ask: (...words: readonly string[]) => Promise<Reply>
  readonly drop: () => void
}
const connect = (from: Endpoint, access: Access, timeout: number): Promise<Asking> =>
  new Promise((resolve, reject) => {
    const interrupted = (reason: string): BackupInterrupted =>
      new BackupInterrupted({ from: showEndpoint(from), reason })
    let fail: (error: Error) => void = reject
    const refused = (code: string | null, text: string): BackupRefused =>
      new BackupRefused({ from: showEndpoint(from), code, text })
    let down: BackupInterrupted | BackupRefused | null = null
    const connection: NodeConnection = dialAs(access)(
      from,
      timeout,
      {
        up: () => resolve({ ask, drop: () => connection.drop() }),
        down: (reason, lasting) => {
          down =
            lasting === undefined ? interrupted(reason) : refused("code" in lasting ? lasting.code : null, lasting.text)
          fail(down)
        },
      },
      realSurroundings,
    )
    const ask = (...words: readonly string[]): Promise<Reply> =>
      new Promise((answered, failed) => {
        if (down !== null) return failed(down)
        const timer = setTimeout(() => {
          down = interrupted(`no answer within ${timeout} ms`)
          connection.drop()
          failed(down)
        }, timeout)
        fail = (error) => {
          clearTimeout(timer)
          failed(error)
        }
        connection.send(encodeRequest(["STEPRAFT", "SNAPSHOT", ...words]), (reply) => {
          clearTimeout(timer)
          if (reply.type === "error")
            failed(
              isForbidden(reply.code) ? refused(reply.code, reply.text) : interrupted(`${reply.code} ${reply.text}`),
            )
          else answered(reply)
        })
      })
  })

const strange = (from: Endpoint): BackupInterrupted =>
  new BackupInterrupted({
    from: showEndpoint(from),
    reason: "an unexpected answer to this command; is it a node of this version?",
  })

export const saveBackup = async ({
  from,
  file,
  local,
  access = inTheClear,
  timeout,
  progress,
}: Saving): Promise<SavedBackup & { readonly about: About }> => {
  const { ask, drop } = await connect(from, access, timeout)
  try {
    const opened = await ask("OPEN", ...(local ? ["LOCAL"] : []))
    if (opened.type !== "bulk") throw strange(from)
    const { id, ...about } = JSON.parse(Buffer.from(opened.bytes).toString()) as About & { readonly id: string }
    const image = async function* (): AsyncGenerator<Uint8Array, void> {
      for (let offset = 0, last = false; !last;) {
        const reply = await ask("READ", id, String(offset))
        const [end, bytes] = reply.type === "array" ? reply.items : []
        if (end?.type !== "integer" || bytes?.type !== "bulk") throw strange(from)
        offset += bytes.bytes.length
        last = Number(end.value) === 1
        yield bytes.bytes
        progress?.(offset, about)
      }
    }
    try {
      return { ...(await writeBackup(file, about, image())), about }
    } finally {
      // The file is complete by now, or the backup has failed: neither changes if the node releases the image later.
      await ask("CLOSE", id).catch(() => undefined)
    }
  } finally {
    drop()
  }
}
