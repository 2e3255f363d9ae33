/** The attacks that brought clusters down earlier, one by one. Each is legal, and most are small. */
import { setTimeout as sleep } from "node:timers/promises"
import { request, requestOf, type Foe, type Word } from "./foe.ts"
import { again, BIG, filler, left, putBig, putLargest, repeated } from "./bulk.ts"
import type { Scenario } from "./scenario.ts"

/** Several of these attacks once each, on every node: `npm test` runs this. */
export const brief: Scenario = {
  name: "brief",
  about: "one round of most of what is below, in one go, for tests",
  seconds: 20,
  prepare: async (foe) => {
    await putBig(foe)
    const wire = await foe.wire(0)
    await wire?.ask("SET", filler(100_000, "a"), "x")
    wire?.end()
  },
  attack: async (foe) => {
    const numbers = [
      "140737488355328",
      "281474976710655",
      "281474976710656",
      "9007199254740991",
      "18446744073709551616",
    ]
    const session = (await openSession(foe, "brief")) ?? [1]
    await Promise.all(
      foe.ports.map(async (_, node) => {
        const requests: readonly (readonly [Buffer, number])[] = [
          [
            Buffer.concat(
              numbers.flatMap((edge) => [
                request("STEPRAFT", "DO", edge, 1, 1, "SET", "n", "1"),
                request("STEPRAFT", "DO", ...session, edge, 1, "SET", "n", "1"),
                request("STEPRAFT", "DO", ...session, 1, edge, "SET", "n", "1"),
                request("STEPRAFT", "SESSION", "CLOSE", edge),
                request("PEXPIREAT", "n", edge),
              ]),
            ),
            25,
          ],
          [Buffer.concat([request("MULTI"), repeated(request("GET", "big"), 100), request("EXEC")]), 102],
          [Buffer.concat([request("MULTI"), repeated(request("APPEND", "grown", "x"), 500), request("EXEC")]), 502],
          [repeated(request("GETEX", "big"), 6), 6],
          [request("MGET", ...Array.from({ length: 700 }, () => "big")), 1],
          [requestOf(["WATCH", ...Array.from({ length: 100_000 }, (_, i) => `w${i}`)]), 1],
          [Buffer.concat([request("CLIENT", "SETNAME", filler(BIG)), request("CLIENT", "LIST")]), 2],
          [request("KEYS", `*${"a".repeat(50_000)}b`), 1],
          [repeated(request("STRLEN", "big"), 400), 400],
          [Buffer.concat([request("MULTI"), repeated(request("COMMAND"), 20_000), request("EXEC")]), 20_002],
        ]
        for (const [bytes, answers] of requests) {
          const wire = await foe.wire(node)
          if (wire === null) return foe.complain(`node ${node + 1} takes no connections any more`)
          await wire.write(bytes)
          await wire.answered(answers, 3000)
          wire.end()
        }
      }),
    )
    const silent = await foe.wires(30)
    for (const wire of silent) wire.deaf()
    await Promise.all(
      silent.map((wire, at) =>
        wire.write(
          at % 5 === 0
            ? Buffer.concat([Buffer.from("*1000000\r\n"), repeated(Buffer.from("$0\r\n\r\n"), 200_000)])
            : repeated(request("GET", "big"), 4),
          1000,
        ),
      ),
    )
    await sleep(300)
  },
}

/** A session of this client, as the words with which every command in it begins. */
const openSession = async (foe: Foe, owner: string): Promise<readonly Word[] | null> => {
  const wire = await foe.wire()
  const opened = await wire?.ask("STEPRAFT", "SESSION", "OPEN", owner)
  wire?.end()
  return opened === undefined || opened === null || (typeof opened === "string" && opened.startsWith("-"))
    ? null
    : [opened]
}

export const edges: readonly string[] = [
  "0",
  "1",
  "-1",
  "4294967295",
  "4294967296",
  "140737488355328",
  "281474976710655",
  "281474976710656",
  "281474976710657",
  "1125899906842624",
  "4503599627370496",
  "9007199254740990",
  "9007199254740991",
  "9007199254740992",
  "9223372036854775807",
  "18446744073709551615",
  "18446744073709551616",
  "99999999999999999999999",
  "1e3",
  "0x10",
  "NaN",
  "Infinity",
  "",
  " 1",
  "1 ",
  "+1",
  "1.5",
  "-0",
  "00",
  "\u0661",
]

export const issueScenarios: readonly Scenario[] = [
  brief,
  {
    name: "exec-get",
    replay: true,
    about: "MULTI, GET of 8 MB × 100, EXEC: 2 kB that ask for 800 MB, on every node",
    prepare: putBig,
    attack: (foe) =>
      again(
        foe,
        async (wire) => {
          await wire.write(Buffer.concat([request("MULTI"), repeated(request("GET", "big"), 100), request("EXEC")]))
          await wire.answered(102, 4000)
        },
        20,
      ),
  },
  {
    name: "getex",
    about: "60 pipelined GETEX of 8 MB on every node, half of the clients read nothing",
    prepare: putBig,
    attack: (foe) =>
      again(
        foe,
        async (wire) => {
          if (foe.random.chance(500)) wire.deaf()
          await wire.write(repeated(request("GETEX", "big"), 60))
          await wire.answered(60, 3000)
        },
        20,
      ),
  },
  {
    name: "exec-append",
    replay: true,
    about: "MULTI, APPEND x × 500 to the largest value, EXEC",
    prepare: async (foe) => void (await putLargest(foe)),
    attack: (foe) =>
      again(
        foe,
        async (wire) => {
          await wire.write(
            Buffer.concat([request("MULTI"), repeated(request("APPEND", "largest", "x"), 500), request("EXEC")]),
          )
          await wire.answered(502, 10_000)
        },
        4,
      ),
  },
  {
    name: "grow",
    replay: true,
    about: "values that grow by appends of 8 MB, pipelined and one by one",
    attack: async (foe) => {
      const wire = await foe.wire(0)
      if (wire !== null) {
        await wire.write(repeated(request("APPEND", "grown-1", filler(BIG)), 8))
        await wire.answered(8, 10_000)
      }
      for (let round = 2; round < 5 && !foe.over(); round++)
        for (let part = 0; part < 8 && !foe.over(); part++) await wire?.ask("APPEND", `grown-${round}`, filler(BIG))
    },
  },
  {
    name: "glob",
    replay: true,
    about: "KEYS *aaa…b of 50 kB, and SCAN MATCH with it, against keys of 200 kB",
    prepare: async (foe) => {
      const wire = await foe.wire(0)
      for (const bytes of [200_000, 60_000, 1000]) await wire?.ask("SET", filler(bytes, "a"), "x")
    },
    attack: (foe) =>
      again(
        foe,
        async (wire) => {
          const pattern = `*${"a".repeat(50_000)}b`
          const stars = `${"*a".repeat(500)}b`
          await wire.write(
            Buffer.concat([
              request("KEYS", pattern),
              request("SCAN", 0, "MATCH", pattern),
              request("KEYS", stars),
              request("SCAN", 0, "MATCH", stars, "COUNT", 1_000_000),
              request("COMMAND", "LIST", "FILTERBY", "PATTERN", pattern),
              request("CONFIG", "GET", pattern),
              request("KEYS", `${"?".repeat(200_000)}b`),
              request("KEYS", `${"[a-z]".repeat(20_000)}*b`),
            ]),
          )
          await wire.answered(8, 60_000)
        },
        5,
      ),
  },
  {
    name: "strlen",
    about: "400 pipelined STRLEN, TYPE, TTL and EXISTS of the largest value",
    prepare: async (foe) => void (await putLargest(foe)),
    attack: (foe) =>
      again(
        foe,
        async (wire) => {
          await wire.write(
            Buffer.concat(["STRLEN", "TYPE", "TTL", "EXISTS"].map((name) => repeated(request(name, "largest"), 400))),
          )
          await wire.answered(1600, 20_000)
        },
        6,
      ),
  },
  {
    name: "client-list",
    about: "1,000 connections, then 2,000 silent CLIENT LIST from some of them",
    attack: async (foe) => {
      const wires = await foe.wires(1000)
      foe.note(`${wires.length} connections`)
      await Promise.all(
        wires.slice(0, 9).map(async (wire) => {
          await wire.write(
            Buffer.concat([
              request("CLIENT", "REPLY", "OFF"),
              repeated(request("CLIENT", "LIST"), 2000),
              request("CLIENT", "REPLY", "ON"),
            ]),
          )
          await wire.answered(1, 30_000)
        }),
      )
    },
  },
  {
    name: "multi-command",
    replay: true,
    about: "MULTI and 300,000 COMMAND, then EXEC",
    attack: (foe) =>
      again(
        foe,
        async (wire) => {
          await wire.write(Buffer.concat([request("MULTI"), repeated(request("COMMAND"), 300_000), request("EXEC")]))
          await wire.answered(300_002, 20_000)
        },
        2,
      ),
  },
  {
    name: "watch",
    replay: true,
    about: "WATCH of 100,000 keys, several times, then MULTI and EXEC",
    attack: (foe) =>
      again(
        foe,
        async (wire) => {
          const keys = Array.from({ length: 100_000 }, (_, i) => `w${i}`)
          for (let round = 0; round < 5; round++) await wire.write(requestOf(["WATCH", ...keys]))
          await wire.write(
            Buffer.concat([request("MULTI"), request("SET", "w1", "x"), request("EXEC"), request("UNWATCH")]),
          )
          await wire.answered(9, 20_000)
        },
        3,
      ),
  },
  {
    name: "mget",
    replay: true,
    about: "MGET of 700 × 8 MB: 6 kB that ask for 5.4 GB",
    prepare: putBig,
    attack: (foe) =>
      again(
        foe,
        async (wire) => {
          await wire.send("MGET", ...Array.from({ length: 700 }, () => "big"))
          await wire.answered(1, 10_000)
        },
        6,
      ),
  },
  {
    name: "names",
    replay: true,
    about: "client and library names of 8 MB, then CLIENT LIST and CLIENT INFO",
    attack: async (foe) => {
      const wires = await foe.wires(90)
      const name = filler(BIG, "n")
      await Promise.all(
        wires.map(async (wire, at) => {
          const set =
            [
              ["CLIENT", "SETNAME", name],
              ["CLIENT", "SETINFO", "lib-name", name],
              ["CLIENT", "SETINFO", "lib-ver", name],
              ["HELLO", 3, "SETNAME", name],
            ][at % 4] ?? []
          await wire.send(...set)
          await wire.answered(1, 15_000)
        }),
      )
      await Promise.all(
        wires.slice(0, 6).map(async (wire) => {
          await wire.write(
            Buffer.concat([
              request("CLIENT", "LIST"),
              request("CLIENT", "INFO"),
              request("CLIENT", "GETNAME"),
              request("INFO", "everything"),
            ]),
          )
          await wire.answered(4, 10_000)
        }),
      )
    },
  },
  {
    name: "empty-arguments",
    about: "40 clients with a million empty arguments each, the last of which never comes",
    attack: async (foe) => {
      const wires = await foe.wires(40)
      const empties = repeated(Buffer.from("$0\r\n\r\n"), 100_000)
      await Promise.all(
        wires.map(async (wire) => {
          await wire.write("*1000000\r\n")
          for (let part = 0; part < 9 && !wire.closed; part++) await wire.write(empties, 5000)
        }),
      )
      await sleep(1000)
      await Promise.all(
        wires.slice(0, 20).map((wire) => wire.write(repeated(Buffer.from("$0\r\n\r\n"), 100_000), 5000)),
      )
      await sleep(1000)
    },
  },
  {
    name: "no-readers",
    about: "300 clients that ask for 8 MB values and read nothing",
    prepare: putBig,
    attack: async (foe) => {
      const wires = await foe.wires(300)
      for (const wire of wires) wire.deaf()
      await Promise.all(wires.map((wire) => wire.write(repeated(request("GET", "big"), 4))))
      await sleep(Math.min(5000, left(foe)))
    },
  },
  {
    name: "kept-replies",
    about: "24 sessions that keep 8 replies of 8 MB each",
    prepare: putBig,
    attack: async (foe) => {
      await Promise.all(
        Array.from({ length: 24 }, async (_, at) => {
          const session = await openSession(foe, `hoarder-${at}`)
          const wire = await foe.wire(at)
          if (session === null || wire === null) return foe.note("a session could not be opened")
          // The lowest unanswered stays 1: every reply must be kept.
          for (let sequence = 1; sequence <= 8; sequence++)
            await wire.send("STEPRAFT", "DO", ...session, sequence, 1, "GETEX", "big")
          await wire.answered(8, 20_000)
        }),
      )
    },
  },
  {
    name: "numbers",
    replay: true,
    about: "numbers of 2^48 and more, and what is none, at every place of every command that takes one",
    attack: async (foe) => {
      const session = (await openSession(foe, "numbers")) ?? [1]
      const shapes: readonly ((edge: string) => readonly Word[])[] = [
        (edge) => ["STEPRAFT", "DO", edge, ...session.slice(1), 1, 1, "SET", "n", "1"],
        (edge) => ["STEPRAFT", "DO", ...session, edge, 1, "SET", "n", "1"],
        (edge) => ["STEPRAFT", "DO", ...session, 1, edge, "SET", "n", "1"],
        (edge) => ["STEPRAFT", "EXEC", edge, ...session.slice(1), 1, 1, 0, 3, "SET", "n", "1"],
        (edge) => ["STEPRAFT", "EXEC", ...session, edge, 1, 0, 3, "SET", "n", "1"],
        (edge) => ["STEPRAFT", "EXEC", ...session, 1, edge, 0, 3, "SET", "n", "1"],
        (edge) => ["STEPRAFT", "EXEC", ...session, 1, 1, edge, 3, "SET", "n", "1"],
        (edge) => ["STEPRAFT", "EXEC", ...session, 1, 1, 1, "n", edge, 3, "SET", "n", "1"],
        (edge) => ["STEPRAFT", "EXEC", ...session, 1, 1, 0, edge, "SET", "n", "1"],
        (edge) => ["STEPRAFT", "SESSION", "CLOSE", edge, ...session.slice(1)],
        (edge) => ["STEPRAFT", "SESSION", "OPEN", edge],
        ...["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "INCRBY", "DECRBY", "SELECT"].map(
          (name) =>
            (edge: string): readonly Word[] =>
              name === "SELECT" ? [name, edge] : [name, "n", edge],
        ),
        ...["EX", "PX", "EXAT", "PXAT"].flatMap((option) => [
          (edge: string): readonly Word[] => ["SET", "n", "1", option, edge],
          (edge: string): readonly Word[] => ["GETEX", "n", option, edge],
        ]),
        (edge) => ["SETEX", "n", edge, "1"],
        (edge) => ["PSETEX", "n", edge, "1"],
        (edge) => ["SCAN", edge],
        (edge) => ["SCAN", 0, "COUNT", edge],
        (edge) => ["HELLO", edge],
        (edge) => ["CLIENT", "REPLY", edge],
        (edge) => ["CLIENT", "KILL", "ID", edge],
        (edge) => ["COMMAND", "INFO", edge],
        (edge) => ["APPEND", "n", edge],
        (edge) => ["INCR", edge],
      ]
      await Promise.all(
        foe.ports.map(async (_, node) => {
          for (const shape of shapes) {
            const wire = await foe.wire(node)
            if (wire === null)
              return foe.complain(`node ${node + 1} takes no connections any more after ${shape("EDGE").join(" ")}`)
            await wire.write(Buffer.concat(edges.map((edge) => request(...shape(edge)))))
            await wire.answered(edges.length, 10_000)
            if (wire.closed) foe.note(`closed at ${shape("EDGE").join(" ")}`)
            wire.end()
          }
        }),
      )
    },
  },
  {
    name: "descriptors",
    about: "clients that use up the file descriptors of every node, while the log goes on to new segments",
    seconds: 6,
    descriptors: 400,
    env: { STEPRAFT_SEGMENT_BYTES: "100000" },
    restartUnderAttack: true,
    attack: async (foe) => {
      const wires = await foe.wires(3 * 450)
      await sleep(500)
      foe.note(`${wires.filter(({ closed }) => !closed).length} of ${wires.length} connections held`)
      // A client that was disconnected connects again.
      while (!foe.over()) {
        await foe.wires(30)
        await sleep(50)
      }
    },
  },
  {
    name: "idle",
    about: "10,500 idle connections to one node, and 500 to each of the others",
    seconds: 20,
    attack: async (foe) => {
      const held = await foe.wires(10_500, 0)
      const others = [...(await foe.wires(500, 1)), ...(await foe.wires(500, 2))]
      foe.note(`${[...held, ...others].filter(({ closed }) => !closed).length} connections held`)
      // The status request of an operator is repeated for two seconds.
      let problem: string | null = "not asked"
      for (let tries = 0; problem !== null && tries < 8; tries++) {
        if (tries > 0) await sleep(250)
        const wire = await foe.wire(0)
        const before = wire?.skimmer.answers ?? 0
        await wire?.send("STEPRAFT", "STATUS")
        const told = await wire?.reaches(before + 1, 10_000)
        problem =
          wire === null || told !== true || wire.skimmer.last !== null
            ? String(wire?.skimmer.last ?? "no answer")
            : null
      }
      if (problem !== null) foe.complain(`STATUS beside 10,500 idle connections: ${problem}`)
    },
  },
]
