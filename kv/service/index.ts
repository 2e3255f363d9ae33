export { makeService, type RunningService, type ServiceOptions } from "./service.ts"
export { defaultServiceSettings, type ServiceDriver, type ServiceMachine, type ServiceSettings } from "./parts.ts"
