/** `stepraft diagnostics`: the survey, the findings and the settings of every node in one file. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { AlreadyThere } from "../../backup/errors.ts"
import { bundleOf, type Bundle, type NodeRecords } from "../../doctor/bundle.ts"
import { parseEndpoint } from "../../client/endpoints.ts"
import { toValue } from "../../client/resp.ts"
import { exitCodes, failure } from "../../../interpreters/cli/runtime.ts"
import { ask } from "../ask.ts"
import { recordedClients } from "../cluster/layout.ts"
import { collectFacts, type SurveyOptions } from "./facts.ts"

const LOG_LINES = 500
const FOLDER = ".stepraft"

const settingsAt = async (client: string | null, timeoutMs: number): Promise<Readonly<Record<string, string>>> => {
  const endpoint = client === null ? null : parseEndpoint(client)
  if (endpoint === null) return {}
  const reply = await ask(endpoint, ["CONFIG", "GET", "*"], timeoutMs).catch(() => null)
  const words = reply === null || reply.type === "error" ? [] : toValue(reply, true)
  const flat = Array.isArray(words) ? words.map(String) : words instanceof Map ? [...words].flat().map(String) : []
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? ""]] : [])))
}
/** The log of a node of a local cluster: on other machines the journal of the system has the logs. */
const logOf = (id: string): readonly string[] => {
  const path = join(FOLDER, id, "log.txt")
  return existsSync(path)
    ? readFileSync(path, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .slice(-LOG_LINES)
    : []
}

export const collect = async (options: SurveyOptions, version: string): Promise<Bundle> => {
  const facts = await collectFacts(options)
  const here = new Set(options.endpoints.flatMap((endpoint) => recordedClients(FOLDER, endpoint).map(([, id]) => id)))
  const told = new Map(
    await Promise.all(
      facts.nodes.map(async ({ id, client, last }): Promise<[string, NodeRecords]> => [
        id,
        {
          settings: last === null ? {} : await settingsAt(client, options.timeoutMs),
          log: here.has(id) ? logOf(id) : [],
        },
      ]),
    ),
  )
  return bundleOf(
    facts,
    told,
    { version, node: process.version, platform: `${process.platform} ${process.arch}` },
    new Date().toISOString(),
  )
}

export const diagnostics = async ({
  file,
  version,
  ...options
}: SurveyOptions & { readonly file: string | null; readonly version: string }): Promise<void> => {
  const bundle = await collect(options, version)
  const text = `${JSON.stringify(bundle, null, 1)}\n`
  if (file === "-") process.stdout.write(text)
  else {
    const path = file ?? `stepraft-diagnostics-${bundle.at.replaceAll(":", "-")}.json`
    if (existsSync(path)) throw new AlreadyThere({ path })
    writeFileSync(path, text, { mode: 0o600, flag: "wx" })
    const reached = bundle.nodes.filter(({ last }) => last !== null).length
    process.stdout.write(
      `${path}: ${bundle.findings.length} findings, ${reached} of ${bundle.nodes.length} nodes answered\n`,
    )
  }
  if (bundle.nodes.every(({ last }) => last === null)) throw failure("no node answered", exitCodes.failed)
}
