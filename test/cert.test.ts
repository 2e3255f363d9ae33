/** `stepraft cert`, as an operator uses it and as he should not. */
import { X509Certificate } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { makeAuthority, renewalOf } from "../interpreters/tls/index.ts"
import { certifyIn, init, writeCertified, type Certify } from "../kv/cli/security/cert.ts"
import { temporaryFolder } from "./cluster.ts"
import { DAY } from "./tls.kit.ts"

let folder = ""
let said = ""
beforeEach(() => {
  folder = join(temporaryFolder("stepraft-cert-"), "certs")
  said = ""
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    said += String(text)
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})
const make = (name: string, more: Partial<Certify> = {}): X509Certificate => {
  certifyIn({ folder, name, purpose: "node", hosts: [], days: 30, replace: false, ...more })
  return new X509Certificate(readFileSync(join(folder, `${name}.crt`)))
}
const text = (name: string): string => readFileSync(join(folder, name), "utf8")

test("what is made is told with its end, begins a little earlier, has a number of its own, and keys are for nobody else", () => {
  init(folder, 3650)
  const [one, two] = [make("n1", { hosts: ["db1.example.com", "[2001:db8::1]", "10.0.0.1"] }), make("n2")]
  expect(said).toContain(
    `n1.crt: for the node n1, found at db1.example.com, 2001:db8::1, 10.0.0.1, localhost, 127.0.0.1, ::1, until ${new Date(one.validTo).toISOString().slice(0, 10)}`,
  )
  expect(one.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/)
  expect(one.serialNumber).not.toBe(two.serialNumber)
  const early = Date.now() - Date.parse(one.validFrom)
  expect(early).toBeGreaterThan(4 * 60_000)
  expect(early).toBeLessThan(10 * 60_000)
  expect([
    one.checkHost("db1.example.com"),
    one.checkIP("2001:db8::1"),
    one.checkIP("10.0.0.1"),
    two.checkIP("10.0.0.1"),
  ]).toEqual(["db1.example.com", "2001:db8::1", "10.0.0.1", undefined])
  for (const name of readdirSync(folder).filter((one) => one.endsWith(".key")))
    expect(statSync(join(folder, name)).mode & 0o077, name).toBe(0)
  expect(readdirSync(folder).filter((name) => name.endsWith(".new"))).toEqual([])
})

test("a key is for nobody else from the first moment, whatever lies where it is written", () => {
  init(folder, 30)
  const elsewhere = join(folder, "elsewhere")
  writeFileSync(elsewhere, "", { mode: 0o666 })
  symlinkSync(elsewhere, join(folder, "n1.key.new"))
  writeFileSync(join(folder, "n2.key.new"), "left by a crash", { mode: 0o666 })
  make("n1")
  make("n2")
  expect(text("elsewhere")).toBe("")
  for (const name of ["n1.key", "n2.key"]) {
    expect(text(name)).toContain("PRIVATE KEY")
    expect(statSync(join(folder, name)).mode & 0o077, name).toBe(0)
  }
})

test("nothing is overwritten unasked; what replaces another keeps its hosts unless others are given, and its kind", () => {
  init(folder, 30)
  const first = make("n1", { hosts: ["db1", "2001:db8::1"] })
  make("ann", { purpose: "client" })
  const before = text("n1.key")
  expect(() => make("n1")).toThrow(/exists already. Nothing was changed/)
  // There is no such flag for an authority.
  expect(() => init(folder, 30)).toThrow(/exists already. Nothing was changed.*cert init --dir next(?!.*--replace)/)
  expect(() => make("n1", { purpose: "client", replace: true })).toThrow(/is a node's. Nothing was changed/)
  expect(() => make("ann", { replace: true })).toThrow(/is a client's/)
  expect(text("n1.key")).toBe(before)
  const second = make("n1", { replace: true })
  expect([second.subjectAltName, second.serialNumber === first.serialNumber]).toEqual([first.subjectAltName, false])
  expect(text("n1.key")).not.toBe(before)
  expect(make("n1", { replace: true, hosts: ["db2"] }).checkHost("db1")).toBeUndefined()
})

test("names and hosts that would be of no use are refused: nothing is made", () => {
  init(folder, 30)
  for (const name of ["ca", "CA", "", "a b", "../n1", "a/b", "a\nb", "n".repeat(65), "ann,DNS:db1"])
    expect(() => make(name), name).toThrow(/cannot be a name/)
  for (const host of [
    "10.0.0.1:7001",
    "db1:7001",
    "db 1",
    "bücher.example",
    "fe80::1%eth0",
    "10.0.0.256",
    "db1/x",
    "a\nb",
    "*",
    "-db1",
    "DNS:db1",
  ])
    expect(() => make("n1", { hosts: ["db1", host] }), host).toThrow(/neither a host name nor an address/)
  expect(readdirSync(folder).toSorted()).toEqual(["ca.crt", "ca.key"])
  make("n1", { hosts: ["*.example.com", "::ffff:10.0.0.1", "a_b"] })
})

test("an authority that has ended, has not begun, is half another one or none certifies nothing, and says what to do", () => {
  const refused = (): string => {
    try {
      make("n1")
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
    return `made: ${said}`
  }
  expect(refused()).toMatch(/there is no authority .* stepraft cert init/)
  mkdirSync(folder, { recursive: true })
  // On a node.
  writeFileSync(join(folder, "ca.crt"), "no PEM")
  expect(refused()).toMatch(/ca\.key is missing: .* Run this command on the machine that keeps it/)
  renameSync(join(folder, "ca.crt"), join(folder, "ca.key"))
  expect(refused()).toMatch(/ca\.crt is missing beside its key/)
  for (const file of ["ca.crt", "ca.key"]) writeFileSync(join(folder, file), "no PEM")
  expect(refused()).toMatch(/^the authority in .* cannot be read/)
  writeCertified(folder, "ca", makeAuthority({ days: 1, from: new Date(Date.now() - 2 * DAY) }))
  expect(refused()).toMatch(/ended at .* Nothing was made. Make another one/)
  writeCertified(folder, "ca", makeAuthority({ days: 1, from: new Date(Date.now() + DAY) }))
  expect(refused()).toMatch(/begins at .* clock/)
  const [old, next] = [makeAuthority({ days: 10 }), makeAuthority({ days: 10 })]
  writeCertified(folder, "ca", old)
  writeFileSync(join(folder, "ca.crt"), next.certificate)
  expect(refused()).toMatch(/is the key of no certificate/)
  // While one replaces another both stand there, in any order.
  for (const both of [`${old.certificate}${next.certificate}`, `${next.certificate}${old.certificate}`]) {
    writeFileSync(join(folder, "ca.crt"), both)
    const made = make("n1", { replace: true, days: 100 })
    expect(made.verify(new X509Certificate(old.certificate).publicKey)).toBe(true)
    expect(said).toContain("when its authority ends")
  }
})

test("a certificate is replaced two weeks before its end, and one that lives for days in the last third of its life", () => {
  const at = (days: number, left: number): string =>
    renewalOf({ from: new Date(0), ends: new Date(days * DAY) }, (days - left) * DAY)
  expect([15, 14, 1.1, 1, -1].map((left) => at(365, left))).toEqual(["later", "soon", "soon", "urgent", "urgent"])
  expect([0.9, 0.34, 0.33, 0.11, 0.1, -1].map((left) => at(1, left))).toEqual([
    "later",
    "later",
    "soon",
    "soon",
    "urgent",
    "urgent",
  ])
})
