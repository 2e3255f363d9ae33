/** How much of one connection may be outstanding: above the limits it is not read from, until half of it is answered. */
import type { Queue } from "../queue.ts"
import type { Limits } from "./limits.ts"

type Size = Pick<Queue, "length" | "bytes">
export const isPipelineFull = (queue: Size, buffered: number, limits: Limits): boolean =>
  queue.length >= limits.pipelinedCommands || queue.bytes >= limits.pipelinedBytes || buffered > limits.softOutputBytes
export const pipelineHasRoom = (queue: Size, buffered: number, limits: Limits): boolean =>
  queue.length <= limits.pipelinedCommands / 2 &&
  queue.bytes <= limits.pipelinedBytes / 2 &&
  buffered <= limits.softOutputBytes
