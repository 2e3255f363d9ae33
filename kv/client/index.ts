/**
 * `import … from "stepraft/kv/client"`: exactly-once sessions, retries and leader discovery, with promises; for Effect
 * see effect.ts.
 */
export {
  elect,
  LeaseLost,
  LeaseRefused,
  lock,
  type Campaign,
  type LeaseOptions,
  type Lock,
} from "../../interpreters/lease/index.ts"
export { TlsUnusable } from "../../interpreters/tls/errors.ts"
export type { ClientTlsOptions } from "./access.ts"
export { connect, type Client, type ConnectOptions } from "./client.ts"
export {
  commands,
  type Bytes,
  type CommandRequest,
  type Result,
  type ScanOptions,
  type SetOptions,
  type Transaction,
} from "./commands.ts"
export {
  type ClientError,
  Closed,
  NoLeader,
  ServerError,
  SessionExpired,
  TimedOut,
  TlsFailed,
  UnexpectedReply,
  Unknown,
} from "./errors.ts"
export type { Endpoint } from "./endpoints.ts"
export { type Argument, type ReplyValue } from "./resp.ts"
