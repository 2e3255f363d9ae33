export { functions, makeHistory, type F, type HistoryEvent, type OpenOperation, type Process, type Recorder, type Request, type Synonym, type Value } from "./history.ts"
