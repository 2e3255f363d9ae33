/** Were the clients' observations linearizable? */
export {
  functionNames,
  makeHistory,
  type FunctionName,
  type HistoryEvent,
  type OpenOperation,
  type Process,
  type Recorder,
  type Request,
  type Synonym,
  type Value,
} from "./history.ts"
export {
  describeRequest,
  impossible,
  kv,
  register,
  startingAt,
  type Answered,
  type Model,
  type Operation,
  type RequestModel,
  type Sight,
} from "./model.ts"
export { checkHistory, type CheckOptions, type Counts, type Linearization, type Verdict } from "./check.ts"
export { type Explanation, type ExplainedOperation } from "./explain.ts"
export { Contradiction } from "./proof.ts"
export { BadHistory } from "./edn.ts"
export { demandKnown, operationsOf, type OperationOptions } from "./operations.ts"
export {
  detectFormat,
  historyFormats,
  readHistory,
  writeHistory,
  type HistoryFormat,
  type ReadEvent,
} from "./formats.ts"
export { explainInWords, verdictInWords } from "./words.ts"
export { drawHtml, drawSvg } from "./drawing.ts"
