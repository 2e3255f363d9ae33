/**
 * `serve` with its log on lossy files (lossy-files.ts): takes the same arguments as `stepraft serve`. Faults are in
 * DATA.faults.json, which is read again at SIGUSR2.
 */
import * as Effect from "effect/Effect"
import { serveAs } from "../kv/cli/serve/serve.ts"
import { asDaemon, exitCodes, failure, run } from "../interpreters/cli/runtime.ts"
import { decodeConfig, flagOf, settingNames, type Setting } from "../kv/node/config.ts"
import { controlledBy, lossyFiles } from "./lossy-files.ts"

/** --name value, or --name alone for a switch. */
const flagsIn = (words: readonly string[]): Partial<Record<Setting, unknown>> => {
  const flags: Partial<Record<Setting, unknown>> = {}
  const names = new Map(settingNames.map((setting) => [flagOf(setting), setting]))
  words.forEach((word, i) => {
    if (!word.startsWith("--")) return
    const setting = names.get(word)
    if (setting === undefined) throw new Error(`there is no ${word}`)
    const value = words[i + 1]
    flags[setting] = value === undefined || value.startsWith("--") ? true : value
  })
  return flags
}

run(
  asDaemon(
    decodeConfig({ flags: flagsIn(process.argv.slice(3)) }).pipe(
      Effect.mapError((error) => failure(error.message, exitCodes.usage)),
      Effect.flatMap((config) => serveAs(config, { files: lossyFiles(controlledBy(`${config.dataDir}.faults.json`)) })),
    ),
  ),
)
