/**
 * The questions that the service of one member asks another's, as text in a ServiceMessage. The receiver treats the
 * text as unknown data.
 */
import type { ServiceMessage } from "../contract.ts"
import type { CatchUp, Goal, RefusalReason } from "./goals.ts"
import type { MemberList } from "./list.ts"

export type MemberQuestion = { readonly type: "goal"; readonly goal: Goal } | { readonly type: "list" }
export type MemberAnswer =
  | { readonly type: "done"; readonly text: string }
  /** The goal is not reached yet. `begun`: this question has caused a step. */
  | { readonly type: "going"; readonly text: string; readonly begun: boolean; readonly catchUp: CatchUp | null }
  | { readonly type: "refused"; readonly reason: RefusalReason; readonly text: string }
  | { readonly type: "notLeader" }
  | { readonly type: "list"; readonly list: MemberList }

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null
const isText = (value: unknown): value is string => typeof value === "string" && value.length <= 1000
const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value)

const GOALS = {
  add: ["name", "address"],
  promote: ["name", "evenIfQuorumIsLost"],
  remove: ["name", "evenIfQuorumIsLost"],
  replace: ["name", "by", "address", "evenIfQuorumIsLost"],
  transfer: ["to", "from"],
} as const satisfies {
  readonly [T in Goal["type"]]: readonly (keyof Omit<Extract<Goal, { readonly type: T }>, "type">)[]
}

const isField = (name: string, value: unknown): boolean =>
  name === "evenIfQuorumIsLost"
    ? typeof value === "boolean"
    : name === "name" || name === "by"
      ? isText(value) && !(value in Object.prototype)
      : isTextOrNull(value)
export const isGoal = (value: unknown): value is Goal => {
  if (!isRecord(value)) return false
  const { type } = value
  const fields: readonly string[] | null =
    typeof type === "string" && Object.hasOwn(GOALS, type) ? GOALS[type as Goal["type"]] : null
  return fields !== null && fields.every((name) => isField(name, value[name]))
}

const parse = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return null
  }
}
/** null: not a question of this version. */
export const readQuestion = ({ bytes }: ServiceMessage): MemberQuestion | null => {
  const value = parse(bytes)
  if (!isRecord(value)) return null
  if (value["type"] === "list") return { type: "list" }
  const { goal } = value
  return value["type"] === "goal" && isGoal(goal) ? { type: "goal", goal } : null
}
const ANSWERS: ReadonlySet<unknown> = new Set<MemberAnswer["type"]>(["done", "going", "refused", "notLeader", "list"])
/** All members run one release, so an answer has the form of its type. null: it is not an answer. */
export const readAnswer = ({ bytes }: ServiceMessage): MemberAnswer | null => {
  const value = parse(bytes)
  return isRecord(value) && ANSWERS.has(value["type"]) ? (value as unknown as MemberAnswer) : null
}
export const encodeQuestion = (said: MemberQuestion | MemberAnswer): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(said))
