/** How much work may be on its way through the log: who waits for his turn, and who never does. */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { Admission, LATE_MS, LIGHT_BYTES, writeWeightOf } from "../kv/server/limits/admission.ts"
import type { Cost } from "../kv/server/queue.ts"
import { defaultLimits } from "../kv/server/limits/limits.ts"
import { Table } from "../kv/server/commands/table.ts"
import type { Reply } from "../kv/types.ts"
import { until } from "./cluster.ts"
import { dial, plain, serving, type Raw } from "./resp.client.ts"
import { makeFake, type Fake } from "./resp.fake.ts"
import { quiet } from "./waiting.ts"

const MB = 1 << 20
const of = (own: number): Cost => ({ own, reads: 0 })
const table = new Table()
const buffers = (...words: readonly (string | number)[]): Buffer[] => words.map((word) => Buffer.from(String(word)))
const weightWith = (lengthOf: (key: Uint8Array) => number, ...words: readonly (string | number)[]): number => {
  const fake = makeFake()
  const host = { service: { ...fake, reader: { ...fake.reader, lengthOf } }, table, limits: defaultLimits }
  return writeWeightOf(host as unknown as Parameters<typeof writeWeightOf>[0], {
    known: table.find(buffers(...words)[0]),
    words: buffers(...words),
    work: null,
  })
}

describe("lanes", () => {
  test("whatever comes and goes: no more is under way than a lane holds, none is forgotten, all get their turn", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            who: fc.nat(7),
            weight: fc.constantFrom(1, 5000, LIGHT_BYTES, LIGHT_BYTES + 1, 3 * MB, 8 * MB, 24 * MB, 90 * MB),
            took: fc.constantFrom(1, LATE_MS, LATE_MS + 1, 10_000),
            what: fc.constantFrom("enter", "enter", "enter", "leave", "leave", "forget", "release"),
          }),
          { maxLength: 60 },
        ),
        (steps) => {
          const admission = new Admission()
          const called = new Set<number>()
          const resumes = Array.from({ length: 8 }, (_, who) => (): void => void called.add(who))
          const underWay: number[] = []
          const wanted = new Map<number, number>()
          const enter = (who: number, weight: number): void => {
            if (admission.enter(of(weight), resumes[who] ?? ((): void => undefined))) {
              wanted.delete(who)
              underWay.push(weight)
            } else wanted.set(who, weight)
            called.delete(who)
            const heavy = underWay.filter((one) => one > LIGHT_BYTES)
            const light = underWay.filter((one) => one <= LIGHT_BYTES)
            expect(heavy.length === 1 || heavy.reduce((sum, one) => sum + one, 0) <= 24 * MB).toBe(true)
            expect(light.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(16 * MB)
          }
          for (const { who, weight, took, what } of steps) {
            const resume = resumes[who] ?? ((): void => undefined)
            if (what === "enter") enter(who, wanted.get(who) ?? weight)
            else if (what === "leave") {
              const left = underWay.shift()
              if (left !== undefined) admission.leave(of(left), took)
            } else if (what === "forget") {
              admission.forget(resume)
              wanted.delete(who)
              called.delete(who)
            } else if (called.has(who)) {
              admission.release(resume)
              called.delete(who)
            }
          }
          // Everybody who wants something gets it once the others are done.
          for (let round = 0; round < 200 && (wanted.size > 0 || underWay.length > 0); round++) {
            const left = underWay.shift()
            if (left !== undefined) admission.leave(of(left), 1)
            for (const [who, weight] of Array.from(wanted)) enter(who, weight)
          }
          expect([...wanted]).toEqual([])
        },
      ),
      { numRuns: 500 },
    )
  })

  /** Answers all outstanding writes, which took so long, and starts as many as may be; returns how many those are. */
  const rounds = (admission: Admission, took: readonly number[]): readonly number[] => {
    let outstanding = 0
    const start = (): number => {
      const resume = (): void => undefined
      while (admission.enter(of(5000), resume)) outstanding++
      admission.forget(resume)
      return outstanding
    }
    return [
      start(),
      ...took.map((ms) => {
        // One is never answered: the lane is not empty meanwhile.
        for (; outstanding > 1; outstanding--) admission.leave(of(5000), ms)
        return start()
      }),
    ]
  }
  test("light writes: few at first and when they are late, many while they are in time", () => {
    const fast = rounds(
      new Admission(),
      Array.from({ length: 20 }, () => 50),
    )
    expect([fast[0], fast.at(-1)]).toEqual([Math.floor((2 * MB) / 5000), Math.floor((16 * MB) / 5000)])
    const slow = rounds(new Admission(), [
      ...Array.from({ length: 20 }, () => 50),
      ...Array.from({ length: 20 }, () => 400),
    ])
    expect(slow.at(-1)).toBe(Math.floor(MB / 5000))
    const admission = new Admission()
    rounds(
      admission,
      Array.from({ length: 20 }, () => 50),
    )
    // rounds leaves some thousand outstanding. Now they end, and single writes follow.
    for (let left = 3355; left > 0; left--) admission.leave(of(5000), 50)
    for (let single = 0; single < 3; single++) {
      admission.enter(of(5000), () => undefined)
      admission.leave(of(5000), 50)
    }
    expect(rounds(admission, [])[0]).toBeLessThan(425)
  })

  test("in the order of coming, one at a time each", () => {
    const admission = new Admission()
    const order: string[] = []
    const one = (name: string) => (): void => void order.push(name)
    const [a, b, c] = [one("a"), one("b"), one("c")]
    expect(admission.enter(of(24 * MB), a)).toBe(true)
    expect(admission.enter(of(20 * MB), b)).toBe(false)
    expect(admission.enter(of(1 * MB), c)).toBe(false)
    expect(admission.enter(of(LIGHT_BYTES), a)).toBe(true)
    admission.leave(of(24 * MB), 1)
    expect(order).toEqual(["b", "c"])
    expect([admission.enter(of(20 * MB), b), admission.enter(of(1 * MB), c)]).toEqual([true, true])
    expect(admission.enter(of(20 * MB), b)).toBe(false)
  })
})

test("a write weighs what it makes every node do, not how long its words are", () => {
  const none = (): number => 0
  const big = (): number => 8 * MB
  expect(weightWith(none, "SET", "a", "1")).toBeLessThan(LIGHT_BYTES)
  expect(weightWith(big, "SET", "a", "1")).toBe(weightWith(none, "SET", "a", "1"))
  for (const words of [
    ["GETEX", "a"],
    ["GETDEL", "a"],
    ["GETSET", "a", "1"],
    ["APPEND", "a", "x"],
    ["CAS", "a", "1", "2"],
    ["SET", "a", "1", "GET"],
  ]) {
    expect(weightWith(none, ...words)).toBeLessThan(LIGHT_BYTES)
    expect(weightWith(big, ...words)).toBeGreaterThanOrEqual(24 * MB)
  }
  expect(weightWith(none, "MSET", ...Array.from({ length: 20_000 }, (_, i) => i))).toBeGreaterThan(8 * MB)
  const calls = Array.from({ length: 100 }, () => buffers("GET", "a"))
  const fake = makeFake()
  let looked = 0
  const host = {
    service: { ...fake, reader: { ...fake.reader, lengthOf: () => (looked++, MB) } },
    table,
    limits: defaultLimits,
  }
  const exec = {
    known: table.find(Buffer.from("EXEC")),
    words: buffers("EXEC"),
    work: { type: "work.write" as const, exec: true, inOrder: true, calls, start: () => undefined },
  }
  expect(writeWeightOf(host as unknown as Parameters<typeof writeWeightOf>[0], exec)).toBeGreaterThanOrEqual(300 * MB)
  expect(looked).toBe(64)
})

/** A service that answers when it is told to. */
const holding = (fake: Fake) => {
  const held: (() => void)[] = []
  const write: Fake["write"] = (...asked) => void held.push(() => fake.write(...asked))
  return { held, service: { ...fake, write, reader: { ...fake.reader, lengthOf: () => 8 * MB } } }
}

describe("a server", () => {
  test("lets heavy writes of many clients through turn by turn, and light ones beside them at once", () => {
    const { held, service } = holding(makeFake())
    return serving(service, {}, async (port) => {
      const hostile = await Promise.all(Array.from({ length: 12 }, () => dial(port)))
      for (const client of hostile) client.write("GETEX big\r\n".repeat(20))
      await until("one is under way", () => held.length > 0)
      const polite = await dial(port)
      const answer = polite.send("SET", "a", "1")
      await until("the light one is under way, too", () => held.length === 2)
      for (const go of held.splice(0)) go()
      expect(plain(await answer)).toBe("OK")
      let answered = 1
      while (answered < 240) {
        await until("the next is under way", () => held.length > 0)
        expect(held.length).toBe(1)
        for (const go of held.splice(0)) go()
        answered++
        await new Promise((next) => setImmediate(next))
      }
      for (const client of hostile) await until("all are answered", () => client.received().split("\r\n").length > 20)
      for (const client of [...hostile, polite]) client.socket.destroy()
    })
  })

  test("gives on the turn of a client that has too much to take", () => {
    const fake = makeFake()
    const held: { readonly who: string; readonly answer: (reply: Reply) => void }[] = []
    const lengthOf = (key: Uint8Array): number => (Buffer.from(key).toString().startsWith("big") ? 8 : 3) * MB
    const write: Fake["write"] = (calls, _, __, done) => void held.push({ who: String(calls[0]?.[1]), answer: done })
    return serving({ ...fake, write, reader: { ...fake.reader, lengthOf } }, {}, async (port) => {
      const clients = await Promise.all(Array.from({ length: 4 }, () => dial(port)))
      const [one, deaf, other, patient] = clients
      const probe = await dial(port)
      const ask = async (client: Raw | undefined, ...keys: readonly string[]): Promise<void> => {
        client?.write(keys.map((key) => `GETEX ${key}\r\n`).join(""))
        await quiet(probe)
      }
      const answer = (who: string, bytes: number): void => {
        const at = held.findIndex((one) => one.who === who)
        expect(at).toBeGreaterThanOrEqual(0)
        held.splice(at, 1)[0]?.answer({ type: "bulk", bytes: Buffer.alloc(bytes) })
      }
      deaf?.socket.pause()
      // Two fit. The large one waits for both, and the deaf client's second behind it.
      await ask(one, "one")
      await ask(deaf, "deaf")
      await ask(other, "big")
      await ask(deaf, "deaf-2")
      await ask(patient, "big-patient")
      answer("deaf", 40 * MB)
      await quiet(probe)
      answer("one", 1)
      await until("the large one is under way", () => held.some(({ who }) => who === "big"))
      answer("big", 1)
      await until("the last has its turn", () => held.some(({ who }) => who === "big-patient"))
      for (const client of [...clients, probe]) client.socket.destroy()
    })
  })

  test("lets nobody wait for a client that is gone, or that does not read", () => {
    const fake = makeFake()
    const { held, service } = holding(fake)
    const large: Reply = { type: "bulk", bytes: Buffer.alloc(8_000_000, "x") }
    return serving(
      {
        ...service,
        write: (calls, exec, watches, done) =>
          void held.push(() =>
            String(calls[0]?.[0]) === "GETEX" ? done(large) : fake.write(calls, exec, watches, done),
          ),
      },
      {},
      async (port) => {
        const deaf: Raw[] = []
        for (let at = 0; at < 4; at++) {
          const client = await dial(port)
          client.socket.pause()
          client.write("GETEX big\r\n".repeat(50))
          deaf.push(client)
        }
        const gone = await dial(port)
        gone.write("GETEX big\r\nGETEX big\r\n")
        await until("one is under way", () => held.length > 0)
        gone.socket.destroy()
        const patient = await dial(port)
        patient.write("APPEND big x\r\n")
        await until("it has its turn", () => {
          for (const go of held.splice(0)) go()
          return patient.received().startsWith(":")
        })
        for (const client of [...deaf, patient]) client.socket.destroy()
      },
    )
  })
})
