export { functions, makeHistory, type F, type HistoryEvent, type OpenOperation, type Process, type Recorder, type Request, type Synonym, type Value } from "./history.ts"
export { describeRequest, impossible, kv, register, type Model, type Operation, type RequestModel } from "./model.ts"
export { checkHistory, type CheckOptions, type Counts, type Linearization, type Verdict } from "./check.ts"
export { type Explanation, type Part } from "./explain.ts"
