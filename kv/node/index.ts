export {
  decodeConfig,
  flagOf,
  settingNames,
  variableOf,
  type ConfigSources,
  type NodeConfig,
  type Setting,
} from "./config.ts"
export { BootstrapRefused, makeLog, NodeFailed, StateWithoutLog } from "../../interpreters/node/index.ts"
export { InvalidConfig, isLasting, type NodeError } from "./errors.ts"
export { launchEnvironment, spareFewCores, threadAdvice } from "./launch.ts"
export type { Logger, LogLevel } from "../../interpreters/log.ts"
export { unsecured, type Security } from "./security.ts"
export { runNode, serveNode, type RunningNode, type ServeOptions } from "./node.ts"
