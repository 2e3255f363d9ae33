/** What is measured, and how it is told. */
export { Histogram } from "./histogram.ts"
export { CONTENT_TYPE, counter, gauge, histogram, metricsText, type Metric } from "./text.ts"
