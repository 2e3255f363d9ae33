/** kv/alerts.yml and kv/dashboard.json, parsed for tests. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "./house.ts"

export interface Alert {
  readonly name: string
  readonly expr: string
  readonly severity: string
  /** Minutes for which the condition must hold. */
  readonly after: number
  readonly summary: string
  readonly runbook: string
}
const field = (block: string, name: string): string =>
  new RegExp(`^ +${name}: (.+)$`, "m").exec(block)?.[1]?.replaceAll(/^['"]|['"]$/g, "") ?? ""

export const alertsFile = join(root, "kv/alerts.yml")
export const readAlerts = (): readonly Alert[] =>
  readFileSync(alertsFile, "utf8")
    .split(/^ +- alert: /m)
    .slice(1)
    .map((block) => ({
      name: block.split("\n")[0] ?? "",
      after: Number(/^(\d+)m$/.exec(field(block, "for"))?.[1] ?? "0"),
      expr: field(block, "expr"),
      severity: field(block, "severity"),
      summary: field(block, "summary"),
      runbook: field(block, "runbook_url"),
    }))

/** Every expression of every panel. */
export const dashboardExpressions = (): readonly string[] => {
  const text = readFileSync(join(root, "kv/dashboard.json"), "utf8")
  const found: string[] = []
  JSON.parse(text, (key, value: unknown) => {
    if (key === "expr" && typeof value === "string") found.push(value)
    return value
  })
  return found
}
