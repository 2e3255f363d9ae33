/** Who comes from the same place, and who gives way when too many come. */
import { expect, test } from "vitest"
import { limitedLog } from "../interpreters/log.ts"
import { networkOf, Strangers } from "../interpreters/strangers.ts"

test("one address of IPv6 is worth no more than its /64, and IPv4 is the same however it is written", () => {
  const same = (...addresses: readonly string[]): void => {
    expect(new Set(addresses.map(networkOf)).size, addresses.join()).toBe(1)
  }
  same("10.0.0.1", "::ffff:10.0.0.1", "::FFFF:10.0.0.1")
  same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:DB8:1:2::", "2001:db8:1:2:3::4")
  same("fe80::1", "fe80::2%eth0", "fe80:0:0:0:5::")
  same("::1", "0:0:0:0:0:0:0:1", "::2")
  const different = ["10.0.0.1", "10.0.0.2", "2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8::1", "fe80::1", "::1"]
  expect(new Set(different.map(networkOf)).size).toBe(different.length)
})

test("a crowd from one network pushes out nobody but itself; of equals the first network gives", () => {
  const strangers = new Strangers<string>(4)
  for (const one of ["b1", "a1", "a2", "a3"])
    expect(strangers.add(one, one.startsWith("a") ? "10.0.0.1" : "::b")).toBeNull()
  expect(strangers.add("a4", "10.0.0.1")).toBe("a1")
  strangers.leave("a2")
  strangers.leave("nobody")
  expect([strangers.add("c1", "::c:0:0:0:1"), strangers.add("a5", "10.0.0.1")]).toEqual([null, "a3"])
  expect([strangers.size, strangers.give(), strangers.give(), strangers.size]).toEqual([4, "a4", "b1", 2])
})

test("a log whose keys strangers make up stays bounded, and says again what is said again", () => {
  let now = 0
  const lines: string[] = []
  const log = limitedLog(
    (_, text) => lines.push(text),
    () => now,
  )
  for (let i = 0; i < 10_000; i++) log(`${i}`, "warn", `from ${i}`)
  expect(lines).toHaveLength(257)
  now += 10_000
  log("0", "warn", "once more")
  expect(lines.slice(257)).toEqual(["once more"])
})
