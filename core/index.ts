export * from "./types.ts"
export { defaultSettings } from "./settings.ts"
export { Log } from "./log.ts"
export * from "./step.ts"
