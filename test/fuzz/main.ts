/**
 * Fuzzes the parsers: random changes of real inputs, led by which blocks of the parser they enter.
 *
 * Exit code 0: nothing was found (with --faults: every fault was); 1: something was (was not); 2: wrong usage.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { readOptions } from "../options.ts"
import { sources } from "./all.ts"
import { bundle, OUT, root } from "./bundle.ts"
import { addToCorpus, fromLine, readCorpus, toLine } from "./corpus.ts"
import type { Found, Tally } from "./loop.ts"
import type { Parser } from "./parser.ts"
import { watch, type Outcome } from "./watch.ts"

const usage = `npm run fuzz -- [options]
  --parser NAME    only this one, or several with commas between (--list tells them; default: all, one after the other)
  --minutes N      of work (CPU time) for each parser, or each fault (default: 1)
  --seed S         of the random changes (default: from the clock); it is told, so that a run can be repeated
  --faults         seeds the mistakes that are known for each parser, one at a time, and tells how soon each is found
  --replay INPUT   gives one input to the parser and ends: a file, or a line of test/fuzz/corpus
  --keep N         adds up to N of the inputs that enter the most blocks to test/fuzz/corpus
  --list           the parsers and what must be true of them, and end

Seconds are those that the process has worked, so a run on a machine that has much else to do is as good as another.

Inputs are real ones (made by what writes them, and those in test/fuzz/corpus), changed at random: bits, edge numbers, cuts,
doubled parts, two joined, words of the language exchanged. An input is kept, and changed further, if it enters a block of
the parser that no other has entered, or enters one more often than any other. Checksums are made right again.

What fails: an error that is not the parser's own, a property that --list tells, more than a bounded number of blocks or
bytes of memory for the size of the input, no end within 20 s of work. The input is shrunk, saved in node_modules/.fuzz
and told with the command that replays it. Once mended, add it to test/fuzz/corpus: npm test gives every input there to
its parser.
`
const { values, complain, number } = readOptions(usage, {
  parser: { type: "string" },
  minutes: { type: "string", default: "1" },
  seed: { type: "string" },
  faults: { type: "boolean", default: false },
  replay: { type: "string" },
  keep: { type: "string", default: "0" },
  list: { type: "boolean", default: false },
})
type Placed = readonly [source: string, parser: Parser]
const all: readonly Placed[] = sources.flatMap(([source, parsers]) => parsers.map((parser): Placed => [source, parser]))
if (values.list) {
  for (const [, { name, about }] of all) console.log(`${name.padEnd(14)} ${about}`)
  process.exit(0)
}
const chosen: readonly Placed[] =
  values.parser === undefined
    ? all
    : values.parser
        .split(",")
        .map(
          (name) =>
            all.find(([, parser]) => parser.name === name) ??
            complain(`--parser ${name}: there are ${all.map(([, parser]) => parser.name).join(", ")}`),
        )
const seconds = number("minutes", 0.01) * 60
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed)
if (!Number.isInteger(seed)) complain(`--seed ${values.seed}: a whole number is needed`)
const keep = number("keep", 0)

const counted = new Intl.NumberFormat("en")
const per = ({ executions, seconds: took }: Tally): string =>
  counted.format(Math.round(executions / Math.max(took, 0.001)))
const tell = (text: string): void => console.error(text)

const save = ({ name }: Parser, { input, error, stack }: Found): void => {
  mkdirSync(OUT, { recursive: true })
  const file = join(OUT, `${name}-${createHash("sha256").update(input).digest("hex").slice(0, 12)}`)
  writeFileSync(file, input)
  tell(`${name}: ${error}`)
  for (const line of stack.split("\n").slice(1, 6)) tell(line)
  tell(`  the input, ${input.length} bytes: ${toLine(input.subarray(0, 500))}`)
  tell(`  npm run fuzz -- --parser ${name} --replay ${relative(root, file)}`)
}
const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`

const replay = async ([source, parser]: Placed, given: string): Promise<void> => {
  const input = given.startsWith('"') ? fromLine(given) : readFileSync(given)
  const outcome = await watch(
    parser.name,
    await bundle(parser, source, null),
    { corpus: [], seconds: 0, seed, replay: input },
    () => {},
  )
  if (outcome.found === null) return tell(`${parser.name}: all is as it must be with these ${input.length} bytes`)
  save(parser, outcome.found)
  process.exitCode = 1
}

const search = async (): Promise<void> => {
  const rows: string[] = []
  for (const [source, parser] of chosen) {
    const made = await bundle(parser, source, null)
    tell(`${parser.name} (seed ${seed}): ${parser.about}`)
    const line = (tally: Tally): string =>
      `${counted.format(tally.executions)} executions (${per(tally)}/s), ${tally.covered} of ${made.blocks} blocks, ${tally.corpus} inputs kept`
    let next = 0
    const { tally, found }: Outcome = await watch(
      parser.name,
      made,
      { corpus: readCorpus(parser.name), seconds, seed, replay: null },
      (present) => {
        if (present.seconds < next) return
        next = present.seconds + 25
        tell(`  ${present.seconds.toFixed(0)} s: ${line(present)}`)
      },
    )
    tell(`  ${tally.seconds.toFixed(0)} s: ${line(tally)}`)
    if (found !== null) {
      save(parser, found)
      process.exitCode = 1
    }
    if (keep > 0) addToCorpus(parser.name, tally.kept.slice(0, keep))
    rows.push(
      row([
        parser.name,
        counted.format(tally.executions),
        per(tally),
        `${tally.covered} of ${made.blocks}`,
        String(tally.corpus),
        found === null ? "0" : "1",
      ]),
    )
  }
  console.log(row(["parser", "executions", "per second", "blocks entered", "inputs kept", "crashes"]))
  console.log(row(["---", "---", "---", "---", "---", "---"]))
  for (const text of rows) console.log(text)
}

const seedFaults = async (): Promise<void> => {
  const rows: string[] = []
  for (const [source, parser] of chosen)
    for (const fault of parser.faults) {
      const made = await bundle(parser, source, fault)
      const { tally, found } = await watch(
        parser.name,
        made,
        { corpus: readCorpus(parser.name), seconds, seed, replay: null },
        () => {},
      )
      if (found === null) process.exitCode = 1
      tell(
        `${fault.id} ${found === null ? "NOT FOUND" : `found after ${tally.seconds.toFixed(1)} s: ${found.error.slice(0, 120)}`}`,
      )
      rows.push(row([parser.name, fault.title, found === null ? "**not found**" : tally.seconds.toFixed(1)]))
    }
  console.log(row(["parser", "seeded fault", "seconds until found"]))
  console.log(row(["---", "---", "---"]))
  for (const text of rows) console.log(text)
}

if (values.replay !== undefined) {
  const [only] = chosen
  if (only === undefined || chosen.length > 1) complain("--replay: name one parser")
  else await replay(only, values.replay)
} else if (values.faults) await seedFaults()
else await search()
