/**
 * `serve` as supervisors type it, each flag as `--name VALUE`. The library that reads command lines takes nearly as long to
 * load as a node, and a node that comes back is waited for. Whatever is not of that form, or is wrong, goes the usual way.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { asDaemon, runProgram } from "../../../interpreters/cli/process.ts"
import {
  decodeConfig,
  flagOf,
  settingNames,
  type ConfigSources,
  type NodeConfig,
  type Setting,
} from "../../node/config.ts"
import { serveAs } from "./serve.ts"

const settings = new Map(settingNames.map((setting) => [flagOf(setting), setting]))
const switches: ReadonlySet<Setting> = new Set<Setting>(["bootstrap", "redirect"])
/** A number that is written in another way than with digits: the usual way decides whether it is one. */
const isOddNumber = (value: string): boolean => Number.isFinite(Number(value)) && !/^\d+$/.test(value)

/** null: they are not of that form. */
export const readPlainly = (words: readonly string[]): ConfigSources | null => {
  const flags: Partial<Record<Setting, unknown>> = {}
  let file: string | undefined
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ""
    const setting = settings.get(word)
    if (setting !== undefined && switches.has(setting) && flags[setting] === undefined) {
      flags[setting] = true
      continue
    }
    const value = words[++i]
    if (value === undefined || value.startsWith("-") || isOddNumber(value)) return null
    if (word === "--config" && file === undefined) file = value
    else if (setting !== undefined && flags[setting] === undefined) flags[setting] = value
    else return null
  }
  return file === undefined ? { flags } : { flags, file }
}

const configOf = (words: readonly string[]): NodeConfig | null => {
  const read = readPlainly(words)
  const decoded = read === null ? null : Effect.runSync(Effect.result(decodeConfig(read)))
  return decoded === null || Result.isFailure(decoded) ? null : decoded.success
}

/** Runs the node, and tells whether it does. */
export const serveDirectly = (words: readonly string[]): boolean => {
  const config = configOf(words)
  if (config !== null) runProgram(asDaemon(serveAs(config)))
  return config !== null
}
