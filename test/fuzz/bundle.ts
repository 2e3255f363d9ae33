/** One file for a thread: a parser with all that it imports, its own sources instrumented, and a fault seeded if one is wanted. */
import { mkdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "vite"
import { mutate, type Mutant } from "../mutants/mutant.ts"
import { instrument } from "./instrument.ts"
import type { Parser } from "./parser.ts"

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const OUT = join(root, "node_modules/.fuzz")

export interface Bundle {
  readonly file: string
  readonly blocks: number
  readonly words: readonly string[]
}

const read = (file: string): string => readFileSync(join(root, file), "utf8")

export const bundle = async (parser: Parser, source: string, fault: Mutant | null): Promise<Bundle> => {
  mkdirSync(OUT, { recursive: true })
  const changed = fault === null ? new Map<string, string>() : mutate(fault, read)
  const name = `${parser.name}${fault === null ? "" : `.${fault.id}`}`
  const counted = new Map(
    // In the order of the list, so that blocks have the same numbers each time.
    parser.files.map((file) => [file, { first: 0, text: changed.get(file) ?? read(file) }]),
  )
  let blocks = 0
  const words = new Set<string>()
  const made = new Map<string, string>()
  for (const [file, { text }] of counted) {
    const instrumented = instrument(file, text, blocks)
    made.set(file, instrumented.text)
    blocks += instrumented.blocks
    for (const word of instrumented.words) words.add(word)
  }
  const entry = "\0fuzz-entry"
  await build({
    configFile: false,
    logLevel: "error",
    root,
    // What is counted must be within the bundle.
    ssr: { noExternal: parser.files.some((file) => file.startsWith("node_modules/effect/")) ? [/^effect/] : [] },
    plugins: [
      {
        name: "fuzz",
        enforce: "pre",
        resolveId: (id) => (id === "fuzz-entry" ? entry : null),
        load: (id) => {
          if (id === entry)
            return `import { parsers } from ${JSON.stringify(join(root, source))}
import { begin } from ${JSON.stringify(join(root, "test/fuzz/loop.ts"))}
await begin(parsers)`
          const file = relative(root, id)
          return made.get(file) ?? changed.get(file) ?? null
        },
      },
    ],
    build: {
      ssr: true,
      outDir: OUT,
      emptyOutDir: false,
      copyPublicDir: false,
      minify: false,
      target: "node20",
      rolldownOptions: {
        input: "fuzz-entry",
        output: {
          format: "es",
          entryFileNames: `${name}.mjs`,
          codeSplitting: false,
          banner: `globalThis.fuzzBlocks = new Uint32Array(${blocks});`,
        },
      },
    },
  })
  return { file: join(OUT, `${name}.mjs`), blocks, words: [...words] }
}
