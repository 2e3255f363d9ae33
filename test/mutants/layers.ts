/**
 * What could catch a mutant: commands that run in the mutated copy of the repository. Each tells what failed on lines
 * of its output, {"failed": name, "detail": text, "case": which}, followed by the command that shows it again; anything
 * else that ends with a code other than 0 counts as failed too. A case is what can be passed over if the shipped code
 * fails there too: a seed, say; without one it is the name.
 */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import type { Part } from "./mutant.ts"

export interface Layer {
  readonly name: string
  readonly about: readonly Part[]
  /** suite: it ends by itself. search: it goes on looking for as long as it is given. */
  readonly kind: "suite" | "search"
  /** Program and arguments; null: there is nothing of the kind in this copy. `ignored`: cases to pass over. */
  readonly command: (root: string, seconds: number, ignored: readonly string[]) => readonly string[] | null
}

const VITEST = [
  "node_modules/.bin/vitest",
  "run",
  "--config",
  "test/vitest.config.ts",
  "--reporter",
  "./test/mutants/layers/reporter.ts",
] as const
/** vitest with the test files that match, or null if none does. */
const vitest = (root: string, files: RegExp, ...options: readonly string[]): readonly string[] | null => {
  const found = readdirSync(join(root, "test")).filter((file) => file.endsWith(".test.ts") && files.test(file))
  return found.length === 0 ? null : [...VITEST, ...options, ...found.map((file) => `test/${file}`)]
}
/** Test files that match, as one run of vitest on one core. */
const suite = (name: string, about: readonly Part[], files: RegExp): Layer => ({
  name,
  about,
  kind: "suite",
  command: (root) => vitest(root, files, "--project", "fast", "--maxWorkers", "1"),
})
/** A script that is given its time with --seconds, and with --ignore what the shipped code fails at too. */
const search = (name: string, about: readonly Part[], script: string, ...more: readonly string[]): Layer => ({
  name,
  about,
  kind: "search",
  command: (root, seconds, ignored) => {
    const folder = script.slice(0, script.lastIndexOf("/"))
    const there = readdirSync(join(root, folder)).includes(script.slice(folder.length + 1))
    const known = ignored.length === 0 ? [] : ["--ignore", ignored.join(",")]
    return there ? ["node_modules/.bin/tsx", script, "--seconds", String(seconds), ...known, ...more] : null
  },
})

/** Tests of whole processes: the emitted program is made anew, for that is what they run. */
const processes = (name: string, about: readonly Part[], files: RegExp): Layer => ({
  name,
  about,
  kind: "suite",
  command: (root) => {
    const run = vitest(root, files, "--project", "processes")
    return run === null ? null : ["sh", "-c", `node_modules/.bin/tsc -p tsconfig.json && exec ${run.join(" ")}`]
  },
})

/** Those that tell most in the shortest time come first: with --enough the rest is not run. */
export const layers: readonly Layer[] = [
  suite("paper", ["core"], /^core\.(paper|defects|durability|regressions|log|halt|chain|space)/),
  search("invariants", ["core"], "test/mutants/layers/simulate.ts"),
  search("refinement", ["core"], "test/mutants/layers/simulate.ts", "--refine"),
  search("linearizability", ["core", "machine", "service", "client", "server"], "test/mutants/layers/clients.ts"),
  suite("scenarios", ["core"], /^scenario\./),
  suite("properties", ["core"], /^(core\.runners|crash|invariants|world|refine\.forged)\./),
  search("explorer", ["core"], "test/explore.ts"),
  suite("drivers", ["driver"], /^driver\./),
  suite("machine", ["machine", "service"], /^(machine|service)\.(?!property|model|crash)/),
  suite("models", ["machine", "service"], /^(service\.property|machine\.(model|crash)|world\.clients)\./),
  suite("files", ["file"], /^file\./),
  suite("transport", ["core", "file", "transport"], /^(tcp|starts|port|attacks)\./),
  suite("contract", ["driver", "file", "transport", "machine", "replica"], /^(conformance|memory)\./),
  suite("clients", ["client"], /^client\./),
  suite("server", ["server", "service"], /^(resp|tls|users)\./),
  suite("commands", ["command line", "judge"], /^cli\./),
  suite("replicas", ["replica"], /^(replica|node\.replicate|lease)\./),
  suite("members", ["members"], /^members\./),
  suite("judges", ["judge"], /^linearizability\./),
  suite("upgrades", ["core", "driver", "file", "transport", "members", "node"], /^(features|fixtures)\./),
  suite(
    "nodes",
    ["members", "core", "driver", "file", "transport", "machine", "service", "server", "node"],
    /^node\.(?!lives)/,
  ),
  suite(
    "lives",
    ["driver", "file", "transport", "machine", "service", "server", "client", "node"],
    /^(node\.lives|resp|client)\./,
  ),
  suite("backups", ["file", "machine", "node"], /^(backup|inspect|recover)\./),
  processes("processes", ["command line", "node"], /^process\.(cli|damage|directories)\./),
]
