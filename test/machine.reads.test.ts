/** Reads of the LevelDB machine while it works: whole states only, never backwards, large ones in slices. */
import { afterAll, describe, expect, test } from "vitest"
import { Log, open, removeTemporary, temporary } from "./machine.kit.ts"

afterAll(removeTemporary)

describe("RANDOMKEY", () => {
  test("draws from all keys, never one that is gone, and nothing only if nothing is there", async () => {
    const held = await open(temporary())
    const log = new Log(1000)
    expect(await held.get("RANDOMKEY")).toBe(null)
    for (let i = 0; i < 400; i++) log.call("SET", `k${i}`, "v")
    for (let i = 0; i < 300; i++) log.call("SET", `past${i}`, "v", "PX", "10")
    await held.apply(log.entries)
    let done = log.entries.length
    const next = async (): Promise<void> => {
      await held.apply(log.from(done))
      done = log.entries.length
    }
    log.time = 2000
    log.call("DEL", "k0")
    await next()
    const drawn = new Set<unknown>()
    // 256 are drawn at once: that any is still missing after 5,000 has a chance of one in a million.
    for (let i = 0; i < 5000; i++) drawn.add(await held.get("RANDOMKEY"))
    expect(drawn).toEqual(new Set(Array.from({ length: 399 }, (_, i) => `k${i + 1}`)))
    for (let i = 1; i < 399; i++) log.call("DEL", `k${i}`)
    await next()
    for (let i = 0; i < 300; i++) expect(await held.get("RANDOMKEY")).toBe("k399")
    log.call("FLUSHALL")
    await next()
    expect(await held.get("RANDOMKEY")).toBe(null)
    await held.close()
  })
})

describe("reads beside writes", () => {
  test("a read of several keys sees a state between two batches, and a later read never an earlier one", async () => {
    const held = await open(temporary())
    const log = new Log()
    const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)
    const round = (value: number): void => {
      log.call("MSET", ...keys.flatMap((key) => [key, String(value)]))
    }
    round(0)
    await held.apply(log.entries)
    const progress = { writing: true }
    const pump = (async () => {
      for (let i = 1; i <= 150; i++) {
        round(i)
        await held.apply(log.entries.slice(-1))
      }
      progress.writing = false
    })()
    let seen = 0
    let reads = 0
    const look = (values: unknown): void => {
      const list = values as string[]
      expect(new Set(list).size).toBe(1)
      const value = Number(list[0])
      expect(value).toBeGreaterThanOrEqual(seen)
      seen = value
      reads++
    }
    while (progress.writing) {
      look(await held.get("MGET", "k0", "k50", "k99"))
      look(await held.get("MGET", ...keys))
      const [, found] = (await held.get("SCAN", "0", "COUNT", "1000")) as [string, string[]]
      expect(found).toHaveLength(100)
      look(await held.get("MGET", "k0", "k1"))
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
    }
    await pump
    expect(reads).toBeGreaterThan(10)
    expect(await held.get("MGET", "k3", "k4")).toEqual(["150", "150"])
    await held.close()
  })
  test("SCAN over LevelDB finds all keys, also when a cursor comes from another node", async () => {
    const log = new Log()
    for (let i = 0; i < 3000; i++) log.call("SET", `key:${i}`, "v", ...(i % 3 === 0 ? ["PX", "10"] : []))
    log.time += 100
    log.add({ type: "Tick" })
    const nodes = [await open(temporary()), await open(temporary(), { node: "n2" })] as const
    for (const node of nodes) await node.apply(log.entries)
    expect(await nodes[0].get("DBSIZE")).toBe(2000)
    const seen = new Set<string>()
    let cursor = "0"
    for (let i = 0; i < 1000; i++) {
      // The connection moves once, in the middle.
      const node = i < 20 ? nodes[0] : nodes[1]
      const [next, keys] = (await node.get("SCAN", cursor, "COUNT", "50")) as [string, string[]]
      for (const key of keys) seen.add(key)
      cursor = next
      if (cursor === "0") break
    }
    expect(cursor).toBe("0")
    expect(seen.size).toBe(2000)
    expect(((await nodes[0].get("KEYS", "key:29*")) as string[]).length).toBe(Array.from({ length: 3000 }, (_, i) => i).filter((i) => i % 3 !== 0 && `key:${i}`.startsWith("key:29")).length)
    expect(await nodes[0].get("EXISTS", ...Array.from({ length: 300 }, (_, i) => `key:${i}`))).toBe(200)
    for (const node of nodes) await node.close()
  })
  test("a long batch is executed in slices: the event loop goes on turning", async () => {
    const held = await open(temporary())
    const log = new Log()
    for (let i = 0; i < 20_000; i++) log.call("APPEND", `k${i % 5000}`, "x".repeat(50))
    let turns = 0
    let applying = true
    const turn = (): void => {
      turns++
      if (applying) setImmediate(turn)
    }
    turn()
    await held.apply(log.entries)
    applying = false
    expect(turns).toBeGreaterThan(10)
    expect(await held.get("STRLEN", "k7")).toBe(200)
    await held.close()
  })
})
