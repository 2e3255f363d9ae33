/**
 * Random commands, answered by a real Redis and by our node: every reply must be the same, byte for byte, except for
 * the differences listed here.
 */
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import * as fc from "fast-check"
import { freePort, until } from "./cluster.ts"
import { localCluster } from "./node.help.ts"
import { readOptions } from "./options.ts"
import { digestOf, recordedFile, recordedScripts } from "./redis/recorded.ts"
import { script, type Script, type Step } from "./redis/commands.ts"
import { known } from "./redis/differences.ts"
import { play, texts } from "./redis/play.ts"
import { openWire, shown, type Seen } from "./redis/wire.ts"

const usage = `npx tsx test/redis-agrees.ts [options]

Random commands to redis-server 7 (Debian: apt-get install redis-server) and to one node of ours.

  --commands N    about (default: 100000)
  --seed N        (default: 1)
  --keep-going    tell all differences, and do not look for the shortest script
  --record        write what Redis answers to the first scripts into test/redis/recorded.json, for the test without Redis
`
const { values, number } = readOptions(usage, {
  commands: { type: "string", default: "100000" },
  seed: { type: "string", default: "1" },
  "keep-going": { type: "boolean", default: false },
  record: { type: "boolean", default: false },
})

const perScript = 100

const startRedis = async (port: number): Promise<ChildProcess> => {
  const redis = spawn(
    "redis-server",
    ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"],
    { stdio: "ignore" },
  )
  const failed = once(redis, "error").then(([cause]: unknown[]) => {
    throw new Error("redis-server could not be started: is it installed?", { cause })
  })
  await Promise.race([
    failed,
    until("redis-server answers", () =>
      openWire(port).then(
        (wire) => (wire.close(), true),
        () => null,
      ),
    ),
  ])
  return redis
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
  const grids = (["even", "odd"] as const).map((grid) => [texts(one, redis, grid), texts(one, ours, grid)] as const)
  return one.steps.flatMap((step, at) => {
    const [its, mine] = [redis[at], ours[at]]
    return its === undefined || mine === undefined || grids.some(([a, b]) => a[at] === b[at])
      ? []
      : [{ at, step, redis: its, ours: mine }]
  })
}
const told = ({ at, step, redis, ours }: Difference): string =>
  `  ${at}. ${step.words.map((word) => JSON.stringify(word)).join(" ")}\n     Redis  ${shown(redis)}\n     ours   ${shown(ours)}`

/** The same difference with as few steps as possible. */
const shortest = async (ports: Ports, failing: Script): Promise<Script> => {
  let best = failing
  for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.steps.length;) {
      const less = { ...best, steps: best.steps.toSpliced(from, size) }
      if (less.steps.length < best.steps.length && (await differences(ports, less)).length > 0) best = less
      else from += size
    }
  }
  return best
}

/** A listed difference must really occur, exactly as described. */
const checkKnown = async (ports: Ports): Promise<readonly string[]> => {
  const wrong: string[] = []
  for (const { what, words, before = [], redis, ours } of known) {
    const steps = [...before, words].map((call): Step => ({ on: 0, words: call }))
    const one: Script = { protocol: 2, steps }
    for (const [name, port, expected] of [
      ["Redis", ports.redis, redis],
      ["ours", ports.ours, ours],
    ] as const) {
      const reply = (await play(port, one)).at(-1)
      const text = reply === undefined ? "nothing" : shown(reply)
      if (!expected.test(text))
        wrong.push(`  ${what}: ${words.join(" ")}\n     ${name} answers ${text}, not ${String(expected)}`)
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
    if (values.record) {
      const all: string[] = []
      for (const one of recordedScripts()) all.push(digestOf(texts(one, await play(redisPort, one), "someday")))
      writeFileSync(recordedFile, `${JSON.stringify(all, null, 1)}\n`)
      return 0
    }
    const wrong = await checkKnown(ports)
    if (wrong.length > 0) console.log(`The list of what differs is not true:\n${wrong.join("\n")}`)
    const wanted = number("commands", 1)
    let commands = 0
    let failed = wrong.length
    const kinds = new Map<string, number>()
    for (const one of fc.sample(script(perScript), {
      seed: number("seed", 0),
      numRuns: Math.ceil(wanted / perScript),
    })) {
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
        console.log(
          `RESP${one.protocol}, the shortest script that shows it:\n${least.steps.map(({ on, words }) => `  ${on}> ${words.map((word) => JSON.stringify(word)).join(" ")}`).join("\n")}\n${(await differences(ports, least)).map(told).join("\n")}`,
        )
        break
      }
    }
    console.log(
      `${commands} commands (seed ${values.seed}): ${failed === 0 ? "every reply the same" : `differences: ${JSON.stringify(Object.fromEntries(kinds))}`}; ${known.length} listed differences, each seen`,
    )
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
