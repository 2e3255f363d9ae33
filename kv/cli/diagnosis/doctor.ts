/** `stepraft doctor`: looks at every node twice, and says what is wrong, why, and what to do. */
import { diagnose } from "../../doctor/diagnose.ts"
import type { ClusterFacts } from "../../doctor/facts.ts"
import type { Finding } from "../../doctor/findings.ts"
import { type Paint, paintFor } from "../../../interpreters/cli/paint.ts"
import { exitCodes, failure } from "../../../interpreters/cli/runtime.ts"
import { collectFacts, type SurveyOptions } from "./facts.ts"

export const wellText = ({ nodes }: ClusterFacts): string => {
  // Whoever is silent and a finding otherwise is here a name in somebody's list only.
  const answering = nodes.filter(({ last }) => last !== null).length
  const leader = nodes.find(({ last }) => last?.status.role === "leader")
  const probes = nodes.flatMap((node) => node.probes)
  const slowest = Math.max(0, ...probes.map(({ ms }) => ms))
  const denied = probes.find(({ error }) => error === "NOPERM")
  return `all is well: ${answering} ${answering === 1 ? "node" : "nodes"}, ${leader?.id ?? "?"} leads in term ${leader?.last?.status.term ?? "?"}, the slowest of a read and a write at each node took ${Math.round(slowest)} ms${denied === undefined ? "" : `; no ${denied.kind} was tried: ${denied.text}`}`
}
export const findingText = ({ name, severity, nodes, evidence, cause, next, guide }: Finding, paint: Paint): string => {
  const title = `${severity} ${name}: ${nodes.join(", ")}`
  const lines = [
    ["seen", evidence],
    ["cause", cause],
    ["next", next],
    ["guide", guide],
  ] as const
  return [
    (severity === "critical" ? paint.red : paint.yellow)(title),
    ...lines.map(([label, text]) => `  ${paint.dim(label.padEnd(5))}  ${text}`),
  ].join("\n")
}

/** Exit code 0 if all is well, otherwise 1. */
export const doctor = async (options: SurveyOptions & { readonly output: "table" | "json" }): Promise<void> => {
  const facts = await collectFacts(options)
  const reached = facts.nodes.filter(({ last }) => last !== null)
  const findings = diagnose(facts)
  const well = findings.length === 0 && reached.length > 0
  const paint = paintFor(process.stdout)
  if (options.output === "json")
    process.stdout.write(
      `${JSON.stringify({ well, nodes: facts.nodes.map(({ id, client, silence }) => ({ id, client, silence })), findings })}\n`,
    )
  else
    process.stdout.write(
      `${well ? paint.green(wellText(facts)) : findings.map((one) => findingText(one, paint)).join("\n\n")}\n`,
    )
  if (!well) throw failure("", exitCodes.failed)
}
