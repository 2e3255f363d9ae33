/**
 * kv/deploy/DAY.md, played: each command that stands there is run on nodes with the settings of kv/deploy/node.env, and its
 * answer compared. STEPRAFT_GOLDEN=1 writes the answers into the page. Each machine is an address of the loopback network.
 */
import { spawn } from "node:child_process"
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { expect, test } from "vitest"
import { certify, makeAuthority, type Certified } from "../interpreters/tls/index.ts"
import { launch, root, temporaryFolder, until, type Watched } from "./cluster.ts"

const page = join(root, "kv/deploy/DAY.md")
const golden = process.env["STEPRAFT_GOLDEN"] !== undefined
/** The page's addresses, and those that stand for them in this process. */
const SHOWN = "10.0.0."
const REAL = `127.${20 + Number(process.env["VITEST_POOL_ID"] ?? "0")}.${1 + (process.pid % 250)}.`
const STATE = "/var/lib/stepraft"
/** Where n3 has moved to. */
const MOVED: Readonly<Record<string, string>> = { "6": "n3" }

const env = readFileSync(join(root, "kv/deploy/node.env"), "utf8")
const folder = temporaryFolder("stepraft-day-")
const bin = join(folder, "bin")
const certificates = join(folder, "tls")
const stateOf = (machine: string): string => join(folder, `machine${machine}`)

const setUp = (): void => {
  mkdirSync(bin)
  const program = join(bin, "stepraft")
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${join(root, "dist/kv/cli.js")}" "$@"\n`)
  chmodSync(program, 0o755)
  // As deploy/README.md has it.
  const authority = makeAuthority({ days: 1 })
  const keep = (name: string, { certificate, key }: Certified): void => {
    writeFileSync(join(certificates, `${name}.crt`), certificate)
    writeFileSync(join(certificates, `${name}.key`), key)
  }
  mkdirSync(certificates)
  keep("ca", authority)
  for (let i = 1; i <= 7; i++)
    keep(`n${i}`, certify(authority, { name: `n${i}`, purpose: "node", days: 1, hosts: [`${REAL}${i}`] }))
}
const toReal = (machine: string, text: string): string =>
  text
    .replaceAll(new RegExp(`${SHOWN.replaceAll(".", "\\.")}(\\d):${STATE}`, "g"), (_, other: string) => stateOf(other))
    .replaceAll(STATE, stateOf(machine))
    .replaceAll("/etc/stepraft/tls", certificates)
    .replaceAll(SHOWN, REAL)
/** Columns stay where they were. */
const toShown = (machine: string, text: string): string =>
  [
    [stateOf(machine), STATE] as const,
    ...Array.from({ length: 9 }, (_, i) => [`${REAL}${i + 1}`, `${SHOWN}${i + 1}`] as const),
  ].reduce(
    (now, [real, shown]) =>
      now.replaceAll(
        new RegExp(`${real.replaceAll(".", "\\.")}(:\\d+)?(?![\\d])( {2,})?`, "g"),
        (_, port: string | undefined, gap: string | undefined) =>
          `${shown}${port ?? ""}${gap === undefined ? "" : `${gap}${" ".repeat(real.length - shown.length)}`}`,
      ),
    text,
  )

const nodes = new Map<string, Watched>()
/** What stands in the unit and in node.env, for this machine. */
const startNode = (machine: string): void => {
  mkdirSync(stateOf(machine), { recursive: true, mode: 0o700 })
  const id = MOVED[machine] ?? `n${machine}`
  const settings = env
    .replaceAll(/^#.*\n/gm, "")
    .replace("STEPRAFT_ID=n1", `STEPRAFT_ID=${id}`)
    .replaceAll("tls/n1.", `tls/${id}.`)
    .replaceAll(/^(STEPRAFT_(?:CLIENT|PEER|HTTP)=10\.0\.0\.)1/gm, `$1${machine}`)
    // Its own place in the list, wherever it is now.
    .replace(new RegExp(`\\b${id}=10\\.0\\.0\\.\\d:`), `${id}=10.0.0.${machine}:`)
  const given = Object.fromEntries(
    toReal(machine, settings)
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  )
  nodes.set(machine, launch(join(bin, "stepraft"), ["serve"], given))
}
const stopNode = async (machine: string): Promise<void> => {
  const node = nodes.get(machine)
  node?.signal("SIGTERM")
  expect(await node?.exited, node?.output()).toBe(0)
}

const run = (machine: string, command: string): Promise<{ readonly code: number | null; readonly text: string }> =>
  new Promise((resolve) => {
    const child = spawn("/bin/sh", ["-c", toReal(machine, command)], {
      cwd: folder,
      env: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` },
      stdio: ["ignore", "pipe", "pipe"],
    })
    let out = ""
    let err = ""
    child.stdout.on("data", (chunk: Buffer) => void (out += chunk.toString()))
    child.stderr.on("data", (chunk: Buffer) => void (err += chunk.toString()))
    // On stderr a command that succeeds says how far it is, which depends on the machine.
    child.once("close", (code) => resolve({ code, text: toShown(machine, code === 0 ? out : out + err) }))
  })

interface Typed {
  readonly machine: string
  readonly command: string
  readonly answer: string
}
const parse = (block: string): readonly Typed[] =>
  block
    .split(/^(?=10\.0\.0\.\d\$ )/m)
    .map((part) => {
      const [, machine = "", command = "", answer = ""] = /^10\.0\.0\.(\d)\$ (.*)\n([^]*)$/.exec(part) ?? []
      return { machine, command, answer }
    })
    .filter(({ machine }) => machine !== "")

/** What differs from run to run: figures, who leads, who answered first, and the order of what is listed. */
const steady = (text: string): string =>
  text
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.-]+Z/g, "TIME")
    .replaceAll(/(?<=checksum )\w+|\b(?=[0-9a-f]*\d)[0-9a-f]{8,64}\b/g, "WORD")
    .replaceAll(/(?<![\w.])\d[\d,]*(\.\d+)?(?=[^\w.:]|\.?$|\.\s)(?! nodes| voters| keys)/gm, "N")
    .replaceAll(/\bN (?:ms|s)\b/g, "SPAN")
    // When it last heard of the leader: who leads shows none.
    .replaceAll(/(?:-|SPAN)(?= +10\.0\.0\.\d:)/g, "CONTACT")
    .replaceAll(/\bn\d (?=leads in|holds data)/g, "NODE ")
    .replaceAll(/\b(leader|follower|voter)\b/g, "ROLE")
    .replaceAll(/\bn\d(?:, n\d)*(?: and n\d)?/g, (names) => (names.match(/n\d/g) ?? []).toSorted().join(" "))
    // Who was the last to lead may have begun an entry that nobody else has.
    .replaceAll(/vote for n\d|^uncertain.*/gm, "")
    .replaceAll(/[ \t]+/g, " ")
    .split("\n\n")
    .map((paragraph) => paragraph.trim())
    .toSorted()
    .join("\n\n")
/** Commands that may be typed too early: they change nothing, or always the same, and are typed again. */
const LOOKS = /^(stepraft (status|doctor|get|set|member list)|curl) /
/** A busy machine takes its time until it says that all is well. */
const PATIENCE = 300_000

const play = async ({ machine, command, answer }: Typed): Promise<string> => {
  const [, verb] = /^systemctl (start|stop|restart) stepraft$/.exec(command) ?? []
  if (verb !== undefined) {
    if (verb !== "start") await stopNode(machine)
    if (verb !== "stop") startNode(machine)
    return ""
  }
  const [, from, to] = /^scp (?:-r )?(\S+) (\S+)$/.exec(command) ?? []
  if (from !== undefined && to !== undefined) {
    mkdirSync(stateOf(machine), { recursive: true, mode: 0o700 })
    cpSync(toReal(machine, from), toReal(machine, to), { recursive: true })
    return ""
  }
  const expected = Number(/# exit code (\d)$/.exec(command)?.[1] ?? "0")
  if (!LOOKS.test(command)) {
    const { code, text } = await run(machine, command)
    expect(code, `${command}\n${text}`).toBe(expected)
    return text
  }
  let last = { code: null as number | null, text: "" }
  let alike = 0
  return until(
    `${command}: ${answer}`,
    async () => {
      const now = await run(machine, command)
      alike = steady(now.text) === steady(last.text) && now.code === expected ? alike + 1 : 0
      last = now
      // A page that is written anew shows what stays.
      const done = golden ? alike === 3 : now.code === expected && steady(now.text) === steady(answer)
      return done ? { text: now.text } : null
    },
    PATIENCE,
  ).then(
    ({ text }) => text,
    (error: unknown) => {
      throw new Error(`${String(error)}\n${String(last.code)}: ${last.text}`)
    },
  )
}

test("a day in production: each command of the page does what stands there", async (context) => {
  const bindable = await new Promise<boolean>((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(false))
    server.listen({ host: `${REAL}1`, port: 7001 }, () => server.close(() => resolve(true)))
  })
  if (!bindable) return context.skip(`not run: this machine has no address ${REAL}1 (Linux has them all)`)
  setUp()
  const text = readFileSync(page, "utf8")
  const blocks = text.split(/^(```console\n[^]*?^```$)/m)
  let played = 0
  try {
    for (const [i, block] of blocks.entries()) {
      if (!block.startsWith("```console")) continue
      const answers: string[] = []
      for (const typed of parse(block.slice("```console\n".length, -"```".length))) {
        const answer = await play(typed)
        if (!golden) expect(steady(answer), `10.0.0.${typed.machine}$ ${typed.command}`).toBe(steady(typed.answer))
        answers.push(`10.0.0.${typed.machine}$ ${typed.command}\n${answer}`)
        played++
      }
      blocks[i] = `\`\`\`console\n${answers.join("")}\`\`\``
    }
  } catch (error) {
    for (const [machine, node] of nodes) console.error(`--- ${machine}\n${node.output().slice(-3000)}`)
    throw error
  } finally {
    for (const node of nodes.values()) node.signal("SIGKILL")
    await Promise.all([...nodes.values()].map(({ exited }) => exited))
    if (golden) writeFileSync(page, blocks.join(""))
  }
  expect(played).toBeGreaterThan(40)
})
