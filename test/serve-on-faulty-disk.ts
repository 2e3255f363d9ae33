/**
 * `serve` with its log on lossy files (lossy-files.ts): takes the same words as `stepraft serve`. Faults stand in
 * DATA.faults.json and are read again at SIGUSR2.
 */
import { nodeFiles } from "../interpreters/file/index.ts"
import { controlledBy, lossyFiles } from "./lossy-files.ts"

const at = process.argv.indexOf("--data")
const data = process.argv[at + 1]
if (at < 0 || data === undefined) throw new Error("--data is missing")
// In place of the real operations: everything else of the program stays as it is.
Object.assign(nodeFiles, lossyFiles(controlledBy(`${data}.faults.json`)))
const { main } = await import("../kv/cli/main.ts")
main(import.meta.filename)
