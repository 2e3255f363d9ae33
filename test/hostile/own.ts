/** More attacks: random mixes of legal commands with extreme sizes, slow readers, half-sent requests, reconnects. */
import { setTimeout as sleep } from "node:timers/promises"
import { request, requestOf, type Foe, type Wire, type Word } from "./foe.ts"
import { putBig, repeated } from "./bulk.ts"
import { edges } from "./issue.ts"
import type { Scenario } from "./scenario.ts"

const bytesOf = (foe: Foe, most: number): Buffer =>
  Buffer.alloc(foe.random.between(0, foe.random.pick([0, 1, 100, 10_000, 1_000_000, most]) ?? most), "abcxyz")
const manyKeys = (foe: Foe, prefix = "k"): readonly string[] =>
  Array.from({ length: foe.random.pick([1, 10, 1000, 30_000, 200_000]) ?? 1 }, (_, i) => `${prefix}${i}`)
const keyOf = (foe: Foe): Word => (foe.random.chance(900) ? `m${foe.random.below(20)}` : bytesOf(foe, 4_000_000))
const numberOf = (foe: Foe): string =>
  foe.random.chance(500) ? String(foe.random.below(100)) : (foe.random.pick(edges) ?? "0")

/** One command that the parser must accept, whatever its sizes. */
const anyCommand = (foe: Foe): readonly Word[] => {
  const { random } = foe
  const key = keyOf(foe)
  const makers: readonly (() => readonly Word[])[] = [
    () => ["GET", key],
    () => ["SET", key, bytesOf(foe, 8_000_000)],
    () => ["APPEND", key, bytesOf(foe, 8_000_000)],
    () => ["GETSET", key, bytesOf(foe, 1_000_000)],
    () => ["GETEX", key],
    () => ["GETEX", key, "PX", numberOf(foe)],
    () => ["GETDEL", key],
    () => ["STRLEN", key],
    () => ["INCRBY", key, numberOf(foe)],
    () => ["SET", key, "1", "EX", numberOf(foe)],
    () => ["EXPIRE", key, numberOf(foe)],
    () => ["CAS", key, bytesOf(foe, 1_000_000), bytesOf(foe, 1_000_000)],
    () => ["MGET", ...manyKeys(foe, "m")],
    () => ["MGET", ...Array.from({ length: random.between(1, 2000) }, () => key)],
    () => ["MSET", ...manyKeys(foe, "wide").flatMap((one) => [one, "v"])],
    () => ["DEL", ...manyKeys(foe, "wide")],
    () => ["EXISTS", ...manyKeys(foe, "m")],
    () => ["KEYS", "*"],
    () => ["KEYS", `*${"a*".repeat(random.between(1, 5000))}b`],
    () => ["SCAN", 0, "COUNT", numberOf(foe), "MATCH", "*x*"],
    () => ["DBSIZE"],
    () => ["WATCH", ...manyKeys(foe, "m")],
    () => ["UNWATCH"],
    () => ["INFO", "everything"],
    () => ["COMMAND"],
    () => ["COMMAND", "INFO", ...manyKeys(foe, "x")],
    () => ["CONFIG", "GET", ...Array.from({ length: random.between(1, 20_000) }, () => "*")],
    () => ["CLIENT", "LIST"],
    () => ["CLIENT", "SETNAME", bytesOf(foe, 4_000_000)],
    () => ["ECHO", bytesOf(foe, 8_000_000)],
    () => ["PING", bytesOf(foe, 8_000_000)],
    () => ["HELLO", random.pick([2, 3]) ?? 2],
    () => ["RESET"],
    () => ["STEPRAFT", "VERSION", ...manyKeys(foe, "m")],
    () => ["STEPRAFT", "STATUS"],
    () => ["STEPRAFT", "SESSION", "OPEN", bytesOf(foe, 10_000)],
    () => ["STEPRAFT", "DO", numberOf(foe), numberOf(foe), numberOf(foe), "SET", key, "x"],
    () => ["STEPRAFT", "EXEC", numberOf(foe), numberOf(foe), numberOf(foe), numberOf(foe), ...manyKeys(foe, "1")],
    () => [bytesOf(foe, 100_000), ...manyKeys(foe)],
    () => ["SELECT", numberOf(foe)],
    () => ["CLUSTER", random.pick(["SLOTS", "NODES", "INFO", "SHARDS", "KEYSLOT"]) ?? "INFO", bytesOf(foe, 1_000_000)],
  ]
  return random.pick(makers)?.() ?? ["PING"]
}

const mixer = async (foe: Foe, node: number): Promise<void> => {
  const { random } = foe
  while (!foe.over()) {
    const wire = await foe.wire(node)
    if (wire === null) {
      await sleep(100)
      continue
    }
    if (random.chance(200)) wire.deaf()
    if (random.chance(100)) await wire.send("CLIENT", "REPLY", "OFF")
    const inMulti = random.chance(300)
    if (inMulti) await wire.send("MULTI")
    for (let left = random.between(1, 30); left > 0 && !wire.closed && !foe.over(); left--) {
      const bytes = requestOf(anyCommand(foe))
      await wire.write(bytes.length < 10_000 && random.chance(300) ? repeated(bytes, random.between(1, 1000)) : bytes)
      if (random.chance(100)) await sleep(random.below(50))
    }
    if (inMulti) await wire.send("EXEC")
    if (random.chance(500)) await wire.answered(1, random.below(2000))
    if (random.chance(500)) wire.drop()
    else wire.end()
  }
}

/** Reads a little now and then. */
const sip = async (foe: Foe, wire: Wire): Promise<void> => {
  while (!foe.over() && !wire.closed) {
    wire.hear()
    await sleep(5)
    wire.deaf()
    await sleep(foe.random.between(100, 400))
  }
}

export const ownScenarios: readonly Scenario[] = [
  {
    name: "mix",
    about: "random legal commands of random, extreme sizes, from 12 clients",
    random: true,
    prepare: putBig,
    attack: async (foe) => void (await Promise.all(Array.from({ length: 12 }, (_, at) => mixer(foe, at)))),
  },
  {
    name: "slow-readers",
    about: "60 clients that ask for much and take it in sips",
    random: true,
    prepare: putBig,
    attack: async (foe) => {
      const wires = await foe.wires(60)
      await Promise.all(
        wires.map(async (wire) => {
          await wire.write(
            Buffer.concat([
              repeated(request("GET", "big"), 20),
              repeated(request("COMMAND"), 500),
              repeated(request("GETEX", "big"), 20),
            ]),
          )
          await sip(foe, wire)
        }),
      )
    },
  },
  {
    name: "half-requests",
    about: "200 clients that send all but the end of a large request, and wait",
    attack: async (foe) => {
      const wires = await foe.wires(200)
      const most = Buffer.alloc(7_900_000, "x")
      await Promise.all(
        wires.map(async (wire, at) => {
          await wire.write(
            at % 2 === 0 ? "*3\r\n$3\r\nSET\r\n$1\r\nh\r\n$8000000\r\n" : "*9\r\n$4\r\nMSET\r\n$1\r\na\r\n$8000000\r\n",
          )
          await wire.write(most, 10_000)
        }),
      )
      while (!foe.over()) {
        await Promise.all(wires.map((wire) => wire.write("x")))
        await sleep(500)
      }
    },
  },
  {
    name: "reconnects",
    about: "thousands of connections that come, ask one thing, and go, politely or not",
    random: true,
    attack: async (foe) => {
      let count = 0
      await Promise.all(
        Array.from({ length: 30 }, async (_, at) => {
          while (!foe.over() && count < 6000) {
            const wire = await foe.wire(at)
            count++
            if (wire === null) await sleep(20)
            else {
              await wire.send(
                ...(foe.random.pick<readonly Word[]>([
                  ["PING"],
                  ["SET", "r", "1"],
                  ["GET", "r"],
                  ["MULTI"],
                  ["STEPRAFT", "SESSION", "OPEN", `r${count % 50}`],
                ]) ?? ["PING"]),
              )
              if (foe.random.chance(500)) await wire.answered(1, 1000)
              if (foe.random.chance(500)) wire.drop()
              else wire.end()
            }
          }
        }),
      )
      foe.note(`${count} connections`)
    },
  },
  {
    name: "wide",
    about: "MSET, DEL, EXISTS, MGET and WATCH of 100,000 keys, FLUSHALL of all of them",
    wipes: true,
    attack: async (foe) => {
      const keys = Array.from({ length: 100_000 }, (_, i) => `wide:${i}`)
      const wire = await foe.wire(0)
      for (let round = 0; round < 3 && !foe.over(); round++) {
        await wire?.askFor(["MSET", ...keys.flatMap((key) => [key, "v"])])
        for (let from = 0; from < keys.length; from += 5000)
          await wire?.ask("MSET", ...keys.slice(from, from + 5000).flatMap((key) => [key, "v"]))
        for (const name of ["EXISTS", "MGET", "WATCH", "DEL", "MSETNX", "TOUCH"]) await wire?.askFor([name, ...keys])
        await wire?.ask("FLUSHALL")
      }
    },
  },
  {
    name: "expiry",
    about: "100,000 keys that expire in the same second, and a value of 8 MB that does again and again",
    attack: async (foe) => {
      const wire = await foe.wire(0)
      if (wire === null) return foe.note("no connection")
      for (let from = 0; from < 100_000 && !foe.over(); from += 1000) {
        const start = wire.skimmer.answers + 1000
        await wire.write(
          Buffer.concat(Array.from({ length: 1000 }, (_, i) => request("SET", `e${from + i}`, "v", "PX", 3000))),
        )
        await wire.reaches(start, 10_000)
      }
      while (!foe.over()) await wire.ask("SET", "gone", Buffer.alloc(8_000_000, "g"), "PX", 100)
    },
  },
  {
    name: "small-flood",
    about: "a million pipelined small commands from 20 clients, half of which read nothing",
    attack: async (foe) => {
      const wires = await foe.wires(20)
      const flood = Buffer.concat(
        Array.from({ length: 5000 }, (_, i) =>
          request(...(i % 3 === 0 ? ["INCR", "flood"] : i % 3 === 1 ? ["GET", "flood"] : ["PING"])),
        ),
      )
      await Promise.all(
        wires.map(async (wire, at) => {
          if (at % 2 === 0) wire.deaf()
          for (let round = 0; round < 10 && !wire.closed && !foe.over(); round++) await wire.write(flood, 4000)
        }),
      )
    },
  },
]
