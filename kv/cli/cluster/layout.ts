/** The data folder of a local cluster: DIR/cluster.json describes it, and DIR/n1 and so on hold the nodes. */
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Endpoint, showEndpoint } from "../../client/endpoints.ts"
import { clusterDefaults } from "../serve/defaults.ts"
import { isLock } from "../../../interpreters/file/index.ts"
import { makeFolders } from "../../../interpreters/cli/folders.ts"
import { Failure, failure } from "../../../interpreters/cli/runtime.ts"

export interface Layout {
  readonly version: 1
  readonly nodes: number
  readonly host: string
  /** The port of the first node; the others follow. */
  readonly port: number
  readonly peerPort: number
  /** 0: no node has an HTTP port. */
  readonly httpPort: number
  readonly tls: boolean
}
export interface LayoutNode {
  readonly id: string
  readonly folder: string
  readonly data: string
  readonly client: Endpoint
  readonly peer: Endpoint
  readonly http: Endpoint | null
}

const fileOf = (folder: string): string => join(folder, "cluster.json")

export const nodesOf = (folder: string, { nodes, host, port, peerPort, httpPort }: Layout): readonly LayoutNode[] =>
  Array.from({ length: nodes }, (_, i) => {
    const id = `n${i + 1}`
    return {
      id,
      folder: join(folder, id),
      data: join(folder, id, "data"),
      client: { host, port: port + i },
      peer: { host, port: peerPort + i },
      http: httpPort === 0 ? null : { host, port: httpPort + i },
    }
  })

/** Folders of earlier versions name no HTTP port, and have no TLS. */
const isLayout = (
  value: unknown,
): value is Omit<Layout, "httpPort" | "tls"> & Partial<Pick<Layout, "httpPort" | "tls">> =>
  typeof value === "object" &&
  value !== null &&
  "version" in value &&
  value.version === 1 &&
  "nodes" in value &&
  typeof value.nodes === "number" &&
  "host" in value &&
  typeof value.host === "string" &&
  "port" in value &&
  typeof value.port === "number" &&
  "peerPort" in value &&
  typeof value.peerPort === "number" &&
  (!("httpPort" in value) || typeof value.httpPort === "number") &&
  (!("tls" in value) || typeof value.tls === "boolean")

/** null: there is no cluster here yet. A folder that holds anything else is refused: this program must not fill it. */
export const readLayout = (folder: string): Layout | null => {
  if (!existsSync(fileOf(folder))) {
    if (existsSync(folder) && !statSync(folder).isDirectory())
      throw failure(`${folder} is no folder. Give one with --data.`)
    if (existsSync(folder) && readdirSync(folder).some((name) => !isLock(name)))
      throw failure(
        `${folder} is not empty and holds no cluster.json: it was not made by "stepraft cluster". Give another folder with --data.`,
      )
    return null
  }
  let value: unknown
  try {
    value = JSON.parse(readFileSync(fileOf(folder), "utf8"))
  } catch (error) {
    throw failure(`${fileOf(folder)} cannot be read: ${String(error)}`)
  }
  if (!isLayout(value)) throw failure(`${fileOf(folder)} is not a description of a cluster of this version`)
  return { ...value, httpPort: value.httpPort ?? value.port + clusterDefaults.httpOffset, tls: value.tls ?? false }
}

export const writeLayout = (folder: string, layout: Layout): void => {
  for (const member of nodesOf(folder, layout)) makeFolders(member.folder)
  // Written by rename: an incomplete description would lock the user out of the data.
  const temporary = `${fileOf(folder)}.new`
  writeFileSync(temporary, `${JSON.stringify(layout, null, 2)}\n`)
  renameSync(temporary, fileOf(folder))
}

const LOCAL: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1", "0.0.0.0", "::"])
const isSameHost = (a: string, b: string): boolean => a === b || (LOCAL.has(a) && LOCAL.has(b))

/** The client addresses of the cluster in this folder, if the asked node is one of its nodes. */
export const recordedClients = (
  folder: string,
  asked: Endpoint,
): readonly (readonly [address: string, id: string])[] => {
  try {
    const layout = readLayout(folder)
    const members = layout === null ? [] : nodesOf(folder, layout)
    const addresses = members.map(({ id, client }) => [showEndpoint(client), id] as const)
    return members.some(({ client }) => client.port === asked.port && isSameHost(client.host, asked.host))
      ? addresses
      : []
  } catch (error) {
    // This is only a hint: a folder that is not a cluster's, or cannot be read, gives none.
    if (error instanceof Failure || (error instanceof Error && "code" in error)) return []
    throw error
  }
}
