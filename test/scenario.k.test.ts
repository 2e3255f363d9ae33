/** Scenarios K: the key-value service, its clients on the same bad network as its servers. */
import { describe, expect } from "vitest"
import { seconds, type StoryWork } from "../interpreters/simulation/index.ts"
import { full } from "./cluster.ts"
import { expectAppends, generic, kvScenario, KvWorld, type KvUser, type Load } from "./scenario.k.kit.ts"

const LOG = 1000
const loads = {
  K1: { clients: 1 },
  K3: { clients: 5 },
  K4: { clients: 5, unreliable: true },
  K7: { clients: 1, partitions: true },
  K8: { clients: 5, partitions: true },
  K9: { clients: 1, restarts: true },
  K10: { clients: 5, restarts: true },
  K11: { clients: 5, restarts: true, unreliable: true },
  K12: { clients: 5, restarts: true, partitions: true },
  K13: { clients: 5, restarts: true, partitions: true, unreliable: true },
  K14: { clients: 15, servers: 7, restarts: true, partitions: true, unreliable: true, randomKeys: true },
  K18: { clients: 1, restarts: true, most: LOG },
  K19: { clients: 20, restarts: true, most: LOG },
  K20: { clients: 5, unreliable: true, most: LOG },
  K21: { clients: 5, unreliable: true, restarts: true, most: LOG },
  K22: { clients: 5, unreliable: true, restarts: true, partitions: true, most: LOG },
  K23: { clients: 15, servers: 7, unreliable: true, restarts: true, partitions: true, randomKeys: true, most: LOG },
} as const satisfies Readonly<Record<string, Load>>

/** `npm test` plays half of each round: every restart, and two partitions in each. */
const round = seconds(full ? 5 : 2.5)
describe("three rounds of load, every answer linearizable", () => {
  kvScenario("K1", () => void generic(loads.K1, round))
  kvScenario("K3", () => void generic(loads.K3, round))
  kvScenario("K4", () => void generic(loads.K4, round))
  kvScenario("K7", () => void generic(loads.K7, round))
  kvScenario("K8", () => void generic(loads.K8, round))
  kvScenario("K9", () => void generic(loads.K9, round))
  kvScenario("K10", () => void generic(loads.K10, round))
  kvScenario("K11", () => void generic(loads.K11, round))
  kvScenario("K12", () => void generic(loads.K12, round))
  kvScenario("K13", () => void generic(loads.K13, round))
  kvScenario("K14", () => void generic(loads.K14, round))
  kvScenario("K18", () => void generic(loads.K18, round))
  kvScenario("K19", () => void generic(loads.K19, round))
  kvScenario("K20", () => void generic(loads.K20, round))
  kvScenario("K21", () => void generic(loads.K21, round))
  kvScenario("K22", () => void generic(loads.K22, round))
  kvScenario("K23", () => void generic(loads.K23, round))
})

/** A thousand appends, one after the other: none may wait for a heartbeat. */
const speed = (most: number | null): void => {
  const it = new KvWorld({ servers: 3, most })
  const user = it.client()
  it.do(user.get("x"))
  const began = it.cluster.now
  function* appends(): StoryWork<void> {
    for (let i = 0; i < 1000; i++) yield* user.append("x", `${user.name}.${i} `)
  }
  it.do(appends())
  expect((it.cluster.now - began) / 1000, "milliseconds an operation").toBeLessThanOrEqual(33.3)
  expectAppends(it.do(user.get("x")), user.name, 1000)
  it.expectLinearizable()
}

describe("alone or at once", () => {
  kvScenario("K2", () => speed(null))
  kvScenario("K17", () => speed(LOG))

  kvScenario("K5", () => {
    const it = new KvWorld({ servers: 3, unreliable: true })
    const users = Array.from({ length: 5 }, () => it.client())
    function* ten(user: KvUser): StoryWork<void> {
      for (let i = 0; i < 10; i++) yield* user.append("k", `${user.name}.${i} `)
    }
    it.cluster.finish(users.map((user) => it.cluster.go(ten(user))))
    const text = it.do(it.client().get("k"))
    expect(text.trim().split(" ")).toHaveLength(50)
    for (const { name } of users) expectAppends(text, name, 10)
    it.expectLinearizable()
  })
})

kvScenario("K6", () => {
  const it = new KvWorld({ servers: 5 })
  const { cluster: c } = it
  it.do(it.client().put("1", "13"))
  const leader = c.leader()
  const [aside = ""] = c.others(leader)
  const minority = [leader, aside]
  const majority = c.others(...minority)
  c.partition(majority)
  const most = it.client(() => majority)
  it.do(most.put("1", "14"))
  expect(it.do(most.get("1"))).toBe("14")
  const put = c.go(it.client(() => minority).put("1", "15"))
  const get = c.go(it.client(() => minority).get("1"))
  c.run(seconds(1))
  expect([put.done, get.done], "nothing is done in the minority").toEqual([false, false])
  expect(it.do(most.get("1"))).toBe("14")
  it.do(most.put("1", "16"))
  expect(it.do(most.get("1"))).toBe("16")
  c.heal()
  c.run(seconds(1))
  c.finish([put], seconds(3))
  c.finish([get], seconds(3))
  expect(it.do(it.client().get("1"))).toBe("15")
  it.expectLinearizable()
})

describe("the log is cut", () => {
  kvScenario("K15", () => {
    const it = new KvWorld({ servers: 3, most: LOG })
    const { cluster: c } = it
    const [a = "", b = "", d = ""] = c.names
    const everybody = it.client()
    it.do(everybody.put("a", "A"))
    const reads = (user: KvUser, wanted: Readonly<Record<string, string>>): void => {
      for (const [key, value] of Object.entries(wanted)) expect(it.do(user.get(key)), key).toBe(value)
    }
    c.partition([a, b])
    const first = it.client(() => [a, b])
    for (let i = 0; i < 50; i++) it.do(first.put(String(i), String(i)))
    c.run(seconds(1))
    it.do(first.put("b", "B"))
    for (const name of [a, b]) expect(c.stateBytes(name)).toBeLessThanOrEqual(8 * LOG)
    // The third server misses more than the log still holds.
    c.partition([a, d])
    const second = it.client(() => [a, d])
    for (const key of ["c", "d"]) it.do(second.put(key, key.toUpperCase()))
    reads(second, { a: "A", b: "B", 1: "1", 49: "49" })
    c.heal()
    it.do(everybody.put("e", "E"))
    reads(everybody, { c: "C", e: "E", 1: "1" })
    it.expectLinearizable()
  })

  kvScenario("K16", () => {
    const it = new KvWorld({ servers: 3, most: LOG })
    const user = it.client()
    const began = it.cluster.now
    function* work(): StoryWork<void> {
      for (let i = 0; i < 200; i++)
        for (const value of ["0", "1"]) {
          yield* user.put("x", value)
          expect(yield* user.get("x")).toBe(value)
        }
    }
    it.do(work())
    expect(it.cluster.now - began).toBeLessThan(seconds(20))
    it.cluster.run(seconds(1))
    expect(it.stored).toBeLessThanOrEqual(8 * LOG)
    // The session of each of the three nodes comes on top of what the client keeps there.
    expect(it.image, "bytes of a snapshot").toBeLessThanOrEqual(500 + 3 * 100)
    it.expectLinearizable()
  })
})
