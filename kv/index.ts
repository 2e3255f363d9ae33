/** The replicated key-value service: its client, and a node to run within a program of one's own. */
export * from "./client/index.ts"
export { decodeConfig, type NodeConfig, type NodeError, runNode, type RunningNode, serveNode, type ServeOptions } from "./node/index.ts"
export type { NodeStatus, PeerStatus, Reply } from "./types.ts"
