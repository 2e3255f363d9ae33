/** `stepraft check-history`: its flags, its help, and its verdict as an exit code. */
import { choice, maybe, output } from "../../interpreters/cli/flags.ts"
import { Argument, attempt, Command, failure, Flag } from "../../interpreters/cli/runtime.ts"

const codes = { linearizable: 0, not: 1, unknown: 2, bad: 3 } as const
const units = { ms: 1, s: 1_000, m: 60_000, "": 1_000 } as const

/** Reads `60s`, `500ms`, `2m`, or a number of seconds. undefined: the text is no duration. */
export const parseLimit = (text: string): number | undefined => {
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|)$/.exec(text) ?? []
  return amount === "" ? undefined : Number(amount) * units[unit as keyof typeof units]
}

const readAll = async (file: string): Promise<string> => {
  if (file !== "-") return (await import("node:fs/promises")).readFile(file, "utf8")
  const parts: Buffer[] = []
  for await (const part of process.stdin) parts.push(Buffer.from(part as Uint8Array))
  return Buffer.concat(parts).toString("utf8")
}

interface Options {
  readonly file: string
  readonly model: "register" | "kv"
  readonly format: "auto" | "jepsen" | "edn" | "jsonl"
  readonly limitMs: number
  readonly drawing: string | null
  readonly failedCas: "nothing" | "refused"
  /** As text: JSON, or a plain word. */
  readonly initial: string | null
  readonly output: "table" | "json"
}

/** Reads `0`, `null`, `"0"`, or a word that needs no quotes. */
const valueOf = (text: string): string | number | boolean | null => {
  try {
    const value: unknown = JSON.parse(text)
    return value === null || typeof value === "number" || typeof value === "boolean" || typeof value === "string"
      ? value
      : text
  } catch {
    return text
  }
}

const draw = async (file: string, drawing: string): Promise<void> => {
  try {
    await (await import("node:fs/promises")).writeFile(file, drawing)
  } catch (error) {
    throw failure(
      `the drawing cannot be written: ${error instanceof Error ? error.message : String(error)}; name another file with --drawing`,
      codes.bad,
    )
  }
}

const check = async (options: Options): Promise<void> => {
  const spec = await import("../index.ts")
  // The models differ only in the type of their state, which is not looked at here.
  const named = spec[options.model] as typeof spec.kv
  const model = options.initial === null ? named : spec.startingAt(named, valueOf(options.initial))
  const history = await (async () => {
    try {
      const operations = spec.operationsOf(spec.readHistory(await readAll(options.file), options.format), {
        failedCas: options.failedCas,
      })
      spec.demandKnown(operations, model, [spec.kv])
      return operations
    } catch (error) {
      if (error instanceof spec.BadHistory) throw failure(`${options.file}: ${error.message}`, codes.bad)
      if (error instanceof Error && "code" in error)
        throw failure(
          `${options.file}: ${error.message}; expected a file that can be read, or - for standard input`,
          codes.bad,
        )
      throw error
    }
  })()
  const began = performance.now()
  const verdict = spec.checkHistory(history, model, { limitMs: options.limitMs })
  const elapsedMs = Math.round(performance.now() - began)
  if (options.output === "json") {
    const explained =
      verdict.verdict === "not"
        ? { explanation: { ...verdict.explanation, operations: verdict.explanation.operations.length } }
        : verdict.verdict === "unknown"
          ? { undecided: verdict.undecided }
          : {}
    process.stdout.write(
      `${JSON.stringify({ verdict: verdict.verdict === "not" ? "not linearizable" : verdict.verdict, model: options.model, elapsedMs, ...verdict.counts, ...explained, words: spec.verdictInWords(verdict, model) }, null, 2)}\n`,
    )
  } else {
    process.stdout.write(`${spec.verdictInWords(verdict, model).join("\n")}\n`)
    if (options.initial === null && verdict.verdict === "not" && verdict.explanation.after === null)
      process.stdout.write("If the value was not nil at the beginning, give it with --initial.\n")
  }
  if (options.drawing !== null) {
    await draw(
      options.drawing,
      options.drawing.endsWith(".html") ? spec.drawHtml(verdict, model) : spec.drawSvg(verdict, model),
    )
    if (options.output === "table") process.stdout.write(`Drawn in ${options.drawing}.\n`)
  }
  if (verdict.verdict !== "linearizable") throw failure("", codes[verdict.verdict])
}

export const checkHistoryCommand = Command.make(
  "check-history",
  {
    file: Argument.String("file").pipe(Argument.withDescription("The history; - reads standard input")),
    model: choice(
      "model",
      ["register", "kv"],
      "What the clients used: registers with read, write and cas; or a store with append, delete and incr as well",
      "kv",
    ),
    format: choice(
      "format",
      ["auto", "jepsen", "edn", "jsonl"],
      "Form of the history: what Jepsen prints (also history.txt), EDN, or JSON (lines, or one array)",
      "auto",
    ),
    limit: Flag.String("limit").pipe(
      Flag.withDescription("How long to look for a verdict: 500ms, 60s, 5m (default: 60s)"),
      Flag.filter(
        (text) => parseLimit(text) !== undefined,
        (text) => `must be a duration such as 500ms, 60s or 5m, not ${text}`,
      ),
      Flag.withDefault("60s"),
    ),
    drawing: Flag.String("drawing").pipe(
      Flag.withDescription("Draw it into this file: .svg, or .html for a page with the explanation"),
      Flag.filter(
        (path) => /\.(?:svg|html)$/.test(path),
        (path) => `must end in .svg or .html, not be ${path}`,
      ),
      Flag.optional,
    ),
    failedCas: choice(
      "failed-cas",
      ["nothing", "refused"],
      "What a failed cas means: only that it did not happen, or also that the value was another one",
      "nothing",
    ),
    initial: Flag.String("initial").pipe(
      Flag.withDescription(
        "What every key or register holds at the beginning, as JSON or a word: 0 (default: nothing)",
      ),
      Flag.optional,
    ),
    output,
  },
  (o) =>
    attempt(() =>
      check({
        file: o.file,
        model: o.model,
        format: o.format,
        limitMs: parseLimit(o.limit) ?? 60_000,
        drawing: maybe(o.drawing),
        failedCas: o.failedCas,
        initial: maybe(o.initial),
        output: o.output,
      }),
    ),
).pipe(
  Command.withShortDescription("Is what clients saw linearizable?"),
  Command.withDescription(
    `Is what clients saw linearizable: is there one order of all operations that respects real time and explains every answer?

A history is what each client did and saw, one event a line, in the order of real time. An operation is invoked, then ends as ok (it happened), fail (it did not) or info (nobody knows: it may take effect at any later time, or never); one that is still open at the end is as info. As JSON lines:

  {"process":1,"type":"invoke","f":"write","key":"x","value":3,"time":12.5}
  {"process":1,"type":"ok","f":"write","key":"x","value":3,"time":13.1}

A process has one operation open at a time. Each key is checked by itself. What "value" holds:

  f               invoke                      ok
  read, get       null                        what was read; null for nothing
  write, put, set what is written             (not looked at)
  append          what is appended            (not looked at)
  cas             [old, new]                  false or 0: refused, for the value was not old; else [old, new], null, true or 1
  incr            by how much; null for 1     the new number; null if not known
  delete          null                        true or 1: something was there; false or 0: nothing; null if not known

A cas that fails with "error":"precondition" was refused, too. Integers beyond ±9007199254740991 are told apart only as strings: "9007199254740993".

What is read:

  JSON    lines as above, or one array of such objects
  EDN     maps, one after another or in one vector: {:process 1, :type :ok, :f :read, :key "x", :value 3}; tags are passed over
  Jepsen  what it prints, of any version, and its history.txt: INFO  jepsen.util - 1 :ok :read 3, or 1 :ok :read 3 alone, with tabs

In the last two null is nil. For several keys, where there is no :key every value is [key value], that of a cas [key [old new]] or [key old new]. Values as [version value], from Jepsen's test of etcd, are judged without their versions. What the nemesis did is passed over. Transactions are refused. A history without operations of clients is linearizable.
A register that does not begin with nil needs --initial.

If it is not linearizable, the smallest part that is impossible by itself is shown, and how far one gets.

Exit codes: 0 linearizable; 1 not; 2 no verdict within --limit (or wrong usage); 3 the history cannot be read or the drawing not written.`,
  ),
  Command.withExamples([
    { command: "stepraft check-history history.jsonl", description: "a key-value store, JSON lines" },
    {
      command: "stepraft check-history jepsen.log --model register --drawing why.html",
      description: "a log of Jepsen's, and a drawing of what is wrong",
    },
    {
      command: "stepraft check-history canonical.edn --model register --initial 0",
      description: "registers that begin with 0",
    },
    {
      command: "zcat history.edn.gz | stepraft check-history - --limit 5m -o json",
      description: "from a pipe, for scripts",
    },
  ]),
)
