/** Commands of a tester, and their outcomes. */
import type { Message, Payload } from "../../../core/index.ts"
import { finish, mixText } from "../state/hash.ts"
import type { WorldHooks, WorldOptions } from "../state/types.ts"

export const seconds = (count: number): number => count * 1000

/** An expectation of the story was not met. */
export class StoryFailed extends Error {
  override readonly name = "StoryFailed"
}

/** A text or number, or bytes that mean something to the cluster's own state machine. */
export type StoryCommand = string | number | Payload
/** The outcome of a command: executed here; certainly never executed; unknown here. */
export type Submitted =
  | { readonly type: "executed"; readonly index: number; readonly result: unknown }
  | { readonly type: "refused"; readonly reason: string; readonly leader: string | null }
  | { readonly type: "unknown"; readonly reason: "answer" | "replaced" | "restored" | "stopped" | "timeout" }
export type ReadResult =
  | { readonly type: "ready" }
  | { readonly type: "refused"; readonly reason: string; readonly leader: string | null }
  | { readonly type: "unknown"; readonly reason: "stopped" | "timeout" }

export interface ClusterOptions extends Partial<Omit<WorldOptions, "nodes">>, WorldHooks {
  /** The meter's figures for a frame. */
  readonly weigh?: (message: Message) => number
}

export const commandPayload = (command: StoryCommand): Payload => {
  if (typeof command === "object") return command
  const text = JSON.stringify(command)
  return { bytes: new TextEncoder().encode(text), checksum: finish(mixText(0, text)) }
}

/** How long the tester tries. */
export const AGREEMENT_MS = 10_000
export const SUBMISSION_MS = 2000
export const POLL_MS = 20
export const PATIENCE_MS = 25_000
export const NO_LEADER_MS = 50
export const LEADER_POLLS = 10
export const COMMAND_BYTES = 16
