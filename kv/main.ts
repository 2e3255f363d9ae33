/**
 * `import … from "stepraft/kv"`: a node of the store inside your own program (Node). Its client is
 * "stepraft/kv/client".
 */
export {
  decodeConfig,
  type NodeConfig,
  type NodeError,
  runNode,
  type RunningNode,
  serveNode,
  type ServeOptions,
} from "./node/index.ts"
export type { NodeStatus, PeerStatus } from "./types.ts"
