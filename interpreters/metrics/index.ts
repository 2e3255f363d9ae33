/** What is measured, and the text form in which it is exported. */
export { Histogram } from "./histogram.ts"
export { CONTENT_TYPE, counter, gauge, histogram, metricsText, type Metric } from "./text.ts"
