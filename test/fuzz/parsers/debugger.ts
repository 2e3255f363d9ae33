/** What a person types in the debugger: each line of an input is a command. */
import { command, wordsFor } from "../../../interpreters/debugger/commands.ts"
import { openSession, readTrace, type DebugSession } from "../../../interpreters/debugger/index.ts"
import { completed, edited, emptyPrompt, entered } from "../../../interpreters/debugger/prompt.ts"
import { scenarioText, type Script } from "../../../interpreters/simulation/index.ts"
import { checkerOf } from "../../../spec/index.ts"
import { must, told, type Parser } from "../parser.ts"

const script: Script = {
  seed: 7,
  options: { nodes: 3 },
  actions: [
    { type: "run", ms: 400 },
    { type: "propose", node: "leader", id: 7 },
    { type: "run", ms: 60 },
  ],
}
const open = (played: Script): DebugSession => openSession(played, { checker: checkerOf, seekLimit: 100 })

const MOST_LINES = 12
const MOST_TEXT = 100_000
/** Many frames, or much virtual time, take as long as they say. */
const takesLong = (line: string): boolean =>
  [...line.matchAll(/\d+/g)].some(([digits]) => Number(digits) > 500 && Number(digits) <= 1e7)

const placeOf = (session: DebugSession): string =>
  told([session.at(), session.branch(), session.branches(), session.hash(), session.script().actions])

/** The line as it is typed, key by key. */
const checkPrompt = (session: DebugSession, line: string): void => {
  let prompt = emptyPrompt
  for (const character of line) prompt = edited(prompt, character, { sequence: character }) ?? prompt
  // oxlint-disable-next-line no-control-regex
  must(prompt.text === line.replaceAll(/[\u0000-\u001f\u007f]/g, ""), "what was typed is not what stands there")
  must(prompt.cursor === prompt.text.length, "the cursor is elsewhere")
  for (const cursor of [prompt.text.length, prompt.text.length >> 1]) {
    const { prompt: longer, choice } = completed({ ...prompt, cursor }, (before) => wordsFor(session, before))
    must(longer.cursor >= 0 && longer.cursor <= longer.text.length, "the cursor is beside the text")
    must(longer.text.endsWith(prompt.text.slice(cursor)), "a completion changes what follows it")
    const begun = /\S*$/.exec(prompt.text.slice(0, cursor))?.[0] ?? ""
    must(
      choice.every((word) => word.startsWith(begun)),
      "a completion that begins otherwise",
    )
  }
  must(edited(entered(prompt), undefined, { name: "up" })?.text === prompt.text.trim(), "what was entered is forgotten")
}

const checkCommands = (input: Buffer): void => {
  const lines = input.toString("utf8").split("\n").slice(0, MOST_LINES)
  if (lines.some(takesLong)) return
  const session = open(script)
  for (const line of lines) {
    checkPrompt(session, line)
    const before = placeOf(session)
    const { text, failed, quit, frame, save } = command(session, line)
    must(text.length <= MOST_TEXT + 20 * line.length, "it answers with too much")
    must(session.at() >= 0 && session.at() < session.length(), "the cursor is beside the frames")
    if (failed) {
      must(text !== "" && frame === null && save === null && !quit, "what failed has a result")
      must(placeOf(session) === before, "what failed changed something")
    }
    if (quit) break
  }
  // Saved and read again it is the same world.
  const again = open(readTrace(scenarioText(session.script())).script)
  again.finish()
  must(again.hash() === session.hash(), "what was saved is another world")
}

const text = (...lines: readonly string[]): Buffer => Buffer.from(lines.join("\n"))
const COMMANDS = "interpreters/debugger/commands.ts"
const SESSION = "interpreters/debugger/session.ts"
const PREDICATES = "interpreters/debugger/predicates.ts"
export const parsers: readonly Parser[] = [
  {
    name: "debugger",
    about:
      "commands of the debugger, as they are typed: what fails says why and changes nothing, and what was done is the same world when it is saved and read again",
    files: [COMMANDS, PREDICATES, SESSION, "interpreters/debugger/prompt.ts", "interpreters/debugger/trace.ts"],
    seeds: () => [
      text("step", "s 5", "", "back 2", "goto 20", "goto end", "goto start"),
      text("continue leader", "show n1", "show", "messages", "m", "invariants", "hash", "frame"),
      text("continue commit 1", "reverse term 1", "next n1", "previous n2", "continue n2.term > 5"),
      text("c rule election", "c node n3", "c message AppendEntries", "r action", "c lost", "c violation", "r"),
      text("c n1.role == leader", "crash n1 torn", "step 9", "start n1", "branches", "branch 0", "branch 1"),
      text("g 30", "fire n2 election", "t n3", "persist n1", "pause n2", "resume n2", "isolate n1", "reconnect n1"),
      text("g end", "propose n1 7", "p n2", "read n1", "learners n1 n2", "change n1 n1 n2 | n3", "s 20"),
      text("c leader", "cut n1 n2", "partition n1", "heal", "s 50", "save f", "help", "rules", "q"),
      text("c message RequestVote", "m", "deliver n1>n2#1", "drop m1", "dup m1"),
      text('do {"type":"stallDisk","node":"n1"}', 'do {"type":"run","ms":100}', 'do {"type":"add","name":"n4"}', "s 9"),
      text('do {"type":"crash","node":"n9"}', "do {}", "do", "crash", "cut n1", "branch", "next", "goto x", "nonsense"),
    ],
    check: checkCommands,
    work: { least: 5_000_000, each: 20_000 },
    faults: [
      {
        id: "fuzz-debugger-1",
        title: "a search that finds nothing leaves its frames",
        patches: [{ file: SESSION, find: "      at = began\n      restore(kept)\n", replace: "      at = began\n" }],
      },
      {
        id: "fuzz-debugger-2",
        title: "time that passed without an event is not saved",
        patches: [{ file: SESSION, find: "if (idle > 0) {", replace: "if (idle > 400) {" }],
      },
      {
        id: "fuzz-debugger-3",
        title: "a completion drops what stands after the cursor",
        patches: [
          {
            file: "interpreters/debugger/prompt.ts",
            find: "typedAs(prompt, head + prompt.text.slice(prompt.cursor), head.length)",
            replace: "typedAs(prompt, head, head.length)",
          },
        ],
      },
    ],
  },
]
