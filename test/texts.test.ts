/** Whatever a text tells a person to do can be done: each verb, flag and setting that it names exists. */
import { constants } from "node:os"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parseSync } from "vite"
import { expect, test } from "vitest"
import { flagOf, settingNames, variableOf } from "../kv/node/index.ts"
import { Table } from "../kv/server/commands/table.ts"
import { root } from "./cluster.ts"
import { dial, serving } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"

const walk = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((item) =>
    item.isDirectory() ? walk(join(folder, item.name)) : item.name.endsWith(".ts") ? [join(folder, item.name)] : [],
  )
/** What speaks of made-up servers speaks of commands of its own. */
const worlds =
  /^(interpreters\/(simulation|debugger)|kv\/simulation|kv\/cli\/simulate|spec\/cli\/(simulate|debug|seed|threads))/
const files = ["core", "interpreters", "kv", "spec/cli"].flatMap(walk).filter((file) => !worlds.test(file))

/** All texts of a program, a template with a sign in place of what is put in. */
const textsOf = (node: unknown): string[] => {
  if (Array.isArray(node)) return node.flatMap(textsOf)
  if (typeof node !== "object" || node === null || !("type" in node)) return []
  if (node.type === "Literal" && "value" in node && typeof node.value === "string") return [node.value]
  const inner = Object.values(node).flatMap(textsOf)
  if (node.type !== "TemplateLiteral" || !("quasis" in node) || !Array.isArray(node.quasis)) return inner
  const parts = (node.quasis as readonly { readonly value: { readonly cooked: string | null } }[]).map(
    ({ value }) => value.cooked ?? "",
  )
  return [parts.join("◦"), ...inner]
}
const sources = files.map((file) => ({ file, source: readFileSync(join(root, file), "utf8") }))
const literals = sources.map(({ file, source }) => ({ file, texts: textsOf(parseSync(file, source).program) }))
/** Sentences, not names. */
const sentences = literals.flatMap(({ file, texts }) =>
  texts.filter((text) => /[a-z].* /s.test(text) && text.length > 15).map((text) => ({ file, text })),
)
const found = (
  pattern: RegExp,
): readonly { readonly file: string; readonly text: string; readonly match: RegExpMatchArray }[] =>
  sentences.flatMap(({ file, text }) => Array.from(text.matchAll(pattern), (match) => ({ file, text, match })))

const commands = new Set(
  ["kv/cli", "spec/cli"]
    .flatMap(walk)
    .flatMap((file) =>
      Array.from(
        readFileSync(join(root, file), "utf8").matchAll(/Command\.make\(\s*"([a-z-]+)"/g),
        ([, name]) => name ?? "",
      ),
    ),
)

test("there is something to check", () => {
  expect(sentences.length).toBeGreaterThan(500)
  expect([...commands]).toEqual(expect.arrayContaining(["serve", "status", "cluster", "check-history"]))
})

test("stepraft … names a command of the program", () => {
  const things = new Set(["node", "data", "log", "replica", "backup", "authority"])
  const wrong = found(/\bstepraft ([a-z][a-z-]+)/g).filter(
    ({ match }) => !commands.has(match[1] ?? "") && !things.has(match[1] ?? ""),
  )
  expect(wrong.map(({ file, text }) => `${file}: ${text}`)).toEqual([])
})

test("--… names a flag, STEPRAFT_… a variable", () => {
  const words = new Set(
    ["kv/cli", "spec/cli"]
      .flatMap(walk)
      .flatMap((file) => textsOf(parseSync(file, readFileSync(join(root, file), "utf8")).program)),
  )
  const flags = new Set(["--help", "--version", "--cacert", "--askpass", ...settingNames.map(flagOf)])
  const unknown = found(/(?<![\w-])(--[a-z][a-z-]+)/g).filter(
    ({ match }) => !flags.has(match[1] ?? "") && !words.has((match[1] ?? "").slice(2)),
  )
  expect(unknown.map(({ file, text }) => `${file}: ${text}`)).toEqual([])
  const variables = new Set<string>([
    ...settingNames.map(variableOf),
    "STEPRAFT_STOP_WITH_STDIN",
    "STEPRAFT_LOCK",
    "STEPRAFT_LOCK_TOKEN",
    "STEPRAFT_TLS",
    "STEPRAFT_USER",
    "STEPRAFT_PASSWORD",
  ])
  const strange = found(/\b(STEPRAFT_[A-Z][A-Z_]+)/g).filter(({ match }) => !variables.has(match[1] ?? ""))
  expect(strange.map(({ file, text }) => `${file}: ${text}`)).toEqual([])
})

test("who asks for a change of members names the command that makes it, and no text asks for files to be wiped", () => {
  const deeds =
    /\brm -rf?\b|\bwipe\b|replac(e|ing) (this|the|him as a|it as a) ?(member|server|node)|as a new member|into the cluster|remove (it|this member) from the cluster|let the cluster take|take its new incarnation/g
  expect([...commands]).toEqual(expect.arrayContaining(["member", "leader"]))
  for (const { match } of found(/\bstepraft member ([a-z]+)/g))
    expect(["list", "add", "promote", "remove", "replace"]).toContain(match[1])
  expect(found(deeds).map(({ file, text }) => `${file}: ${text}`)).toEqual([])
})

test("what stands in capitals is a command that a node knows, or no command at all", async () => {
  const notCommands = new Set([
    ..."TMPDIR DATE OLD TCP TLS HTTP CRLF IEEE SKIP RESP RESP2 RESP3 EDN LFU CRC NTP CPU JSON URL ASCII UTF NTFS SIGTERM SIGKILL SIGINT SIGSTOP SIGHUP PEM HTTPS HOST PORT DIR DATA FILE FORMAT ADDR LADDR TYPE SKIPME USER NAME KEY CODE SETTINGS SECURITY".split(
      " ",
    ),
    ...Object.keys(constants.errno),
    "ENOTFOUND",
  ])
  const errorCodes = new Set(literals.flatMap(({ texts }) => texts.filter((text) => /^[A-Z]{3,}$/.test(text))))
  // A subcommand that nobody can give by itself.
  errorCodes.delete("STATUS")
  const table = new Table()
  const asked = new Set<string>()
  const unknown: string[] = []
  for (const { file, text, match } of found(/(?<!\[[^\]]*)\b[A-Z][A-Z0-9]{2,}(?: [A-Z][A-Z-]+)*(?![\w◦_])/g)) {
    const [first = "", second] = match[0].split(" ")
    if (table.find(Buffer.from(first)) !== undefined) asked.add(second === undefined ? first : `${first} ${second}`)
    else if (!notCommands.has(first) && !errorCodes.has(first)) unknown.push(`${first} in ${file}: ${text}`)
  }
  expect(unknown).toEqual([])
  expect([...asked]).toEqual(expect.arrayContaining(["STEPRAFT STATUS", "CLIENT KILL", "STEPRAFT SESSION"]))
  const refused: string[] = []
  await serving(makeFake(), {}, async (port) => {
    for (const words of asked) {
      const client = await dial(port)
      const reply = await client.send(...words.split(" "))
      client.socket.destroy()
      if (reply.type === "error" && /unknown (sub)?command/.test(reply.text)) refused.push(`${words}: ${reply.text}`)
    }
  })
  expect(refused).toEqual([])
})
