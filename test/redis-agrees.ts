/** Random commands, answered by a real Redis and by a node of ours: every reply must be the same, byte for byte, but for what is listed here. */
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import * as fc from "fast-check"
import { freePort, until } from "./cluster.ts"
import { localCluster } from "./node.help.ts"
import { readOptions } from "./options.ts"
import { script, type Script, type Step } from "./redis/commands.ts"
import { compared, known } from "./redis/differences.ts"
import { openWire, shown, type Seen, type Wire } from "./redis/wire.ts"

const usage = `npx tsx test/redis-agrees.ts [options]

Random commands to redis-server 7 (Debian: apt-get install redis-server) and to one node of ours.

  --commands N    about (default: 100000)
  --seed N        (default: 1)
  --keep-going    tell all differences, and do not look for the shortest script
`
const { values, number } = readOptions(usage, { commands: { type: "string", default: "100000" }, seed: { type: "string", default: "1" }, "keep-going": { type: "boolean", default: false } })

const perScript = 100

const startRedis = async (port: number): Promise<ChildProcess> => {
  const redis = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"], { stdio: "ignore" })
  const failed = once(redis, "error").then(([cause]: unknown[]) => {
    throw new Error("redis-server could not be started: is it installed?", { cause })
  })
  await Promise.race([failed, until("redis-server answers", () => openWire(port).then((wire) => (wire.close(), true), () => null))])
  return redis
}

const bytesOf = (words: readonly string[]): Uint8Array[] => words.map((word) => Buffer.from(word, "latin1"))

/** All of a script, from an empty store: pipelined, but what one connection has sent is answered before the other sends. */
const play = async (port: number, { protocol, steps }: Script): Promise<readonly Seen[]> => {
  const wires: Wire[] = [await openWire(port), await openWire(port)]
  try {
    await wires[0]?.ask([bytesOf(["FLUSHALL"])])
    for (const wire of wires) await wire.ask([bytesOf(["HELLO", String(protocol)])])
    const replies: Seen[] = []
    for (let from = 0; from < steps.length; ) {
      const on = steps[from]?.on ?? 0
      let to = from
      while (to < steps.length && steps[to]?.on === on) to++
      replies.push(...((await wires[on]?.ask(steps.slice(from, to).map(({ words }) => bytesOf(words)))) ?? []))
      from = to
    }
    return replies
  } finally {
    for (const wire of wires) wire.close()
  }
}

interface Difference {
  readonly at: number
  readonly step: Step
  readonly redis: Seen
  readonly ours: Seen
}
interface Ports {
  readonly redis: number
  readonly ours: number
}
const differences = async (ports: Ports, one: Script): Promise<readonly Difference[]> => {
  const [redis, ours] = [await play(ports.redis, one), await play(ports.ours, one)]
  const found: Difference[] = []
  // What a queued command answers comes with EXEC.
  const queued: (readonly string[])[][] = [[], []]
  one.steps.forEach((step, at) => {
    const [a, b] = [redis[at], ours[at]]
    if (a === undefined || b === undefined) return
    const calls = queued[step.on] ?? []
    if (a.text === "QUEUED") calls.push(step.words)
    const inside = step.words[0]?.toUpperCase() === "EXEC" ? calls.splice(0) : null
    if (["DISCARD", "RESET"].includes(step.words[0]?.toUpperCase() ?? "")) calls.length = 0
    if (compared(step.words, a, inside) !== compared(step.words, b, inside)) found.push({ at, step, redis: a, ours: b })
  })
  return found
}
const told = ({ at, step, redis, ours }: Difference): string => `  ${at}. ${step.words.map((word) => JSON.stringify(word)).join(" ")}\n     Redis  ${shown(redis)}\n     ours   ${shown(ours)}`

/** The same difference with as few steps as may be. */
const shortest = async (ports: Ports, failing: Script): Promise<Script> => {
  let best = failing
  for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.steps.length; ) {
      const less = { ...best, steps: best.steps.toSpliced(from, size) }
      if (less.steps.length < best.steps.length && (await differences(ports, less)).length > 0) best = less
      else from += size
    }
  }
  return best
}

/** What is said to differ must differ, in just that way. */
const checkKnown = async (ports: Ports): Promise<readonly string[]> => {
  const wrong: string[] = []
  for (const { what, words, before = [], redis, ours } of known) {
    const steps = [...before, words].map((call): Step => ({ on: 0, words: call }))
    const one: Script = { protocol: 2, steps }
    for (const [name, port, expected] of [["Redis", ports.redis, redis], ["ours", ports.ours, ours]] as const) {
      const reply = (await play(port, one)).at(-1)
      const text = reply === undefined ? "nothing" : shown(reply)
      if (!expected.test(text)) wrong.push(`  ${what}: ${words.join(" ")}\n     ${name} answers ${text}, not ${String(expected)}`)
    }
  }
  return wrong
}

const main = async (): Promise<number> => {
  const cluster = await localCluster(1)
  const redisPort = await freePort()
  const redis = await startRedis(redisPort)
  try {
    await cluster.startAll()
    const node = await cluster.leader()
    const ports = { redis: redisPort, ours: node.config.client.port }
    const wrong = await checkKnown(ports)
    if (wrong.length > 0) console.log(`The list of what differs is not true:\n${wrong.join("\n")}`)
    const wanted = number("commands", 1)
    let commands = 0
    let failed = wrong.length
    const kinds = new Map<string, number>()
    for (const one of fc.sample(script(perScript), { seed: number("seed", 0), numRuns: Math.ceil(wanted / perScript) })) {
      const found = await differences(ports, one)
      commands += one.steps.length
      for (const { step } of found) {
        const name = step.words[0]?.toUpperCase() ?? ""
        kinds.set(name, (kinds.get(name) ?? 0) + 1)
      }
      const [first] = found
      if (first === undefined) continue
      failed++
      if (values["keep-going"]) console.log(`RESP${one.protocol}\n${told(first)}`)
      else {
        const least = await shortest(ports, one)
        console.log(`RESP${one.protocol}, the shortest script that shows it:\n${least.steps.map(({ on, words }) => `  ${on}> ${words.map((word) => JSON.stringify(word)).join(" ")}`).join("\n")}\n${(await differences(ports, least)).map(told).join("\n")}`)
        break
      }
    }
    console.log(`${commands} commands (seed ${values.seed}): ${failed === 0 ? "every reply the same" : `differences: ${JSON.stringify(Object.fromEntries(kinds))}`}; ${known.length} listed differences, each seen`)
    return failed === 0 ? 0 : 1
  } finally {
    await cluster.dispose()
    redis.kill("SIGKILL")
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
process.exit()
