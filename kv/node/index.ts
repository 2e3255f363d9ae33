export { decodeConfig, flagOf, parseAddress, settingNames, variableOf, type ConfigSources, type NodeConfig, type Setting } from "./config.ts"
export { BootstrapRefused, InvalidConfig, NodeFailed, StateWithoutLog, type NodeError } from "./errors.ts"
export { makeLog, type Log, type LogLevel } from "./log.ts"
export { runNode, serveNode, type RunningNode, type ServeOptions } from "./node.ts"
