/** As whom the command line comes to a node, and what it says of TLS files and of refusals. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, expect, test } from "vitest"
import { exitCodes } from "../interpreters/cli/runtime.ts"
import type { TlsMaterial } from "../interpreters/tls/index.ts"
import { access, advised, useAccess, useGivenAccess } from "../kv/cli/access.ts"
import { BackupRefused } from "../kv/backup/errors.ts"
import { save } from "../kv/cli/recovery/backup.ts"
import { inTheClear } from "../kv/client/access.ts"
import { connect } from "../kv/client/client.ts"
import { makeStore, startFake } from "./client.fake.ts"
import { temporaryFolder } from "./cluster.ts"
import { authority, shownBy } from "./tls.kit.ts"

afterEach(() => useAccess(inTheClear))
const nobody = { tls: false, tlsCa: null, tlsCert: null, tlsKey: null, user: null }
/** The paths of these files. */
const written = (shown: TlsMaterial): TlsMaterial => {
  const made = temporaryFolder("stepraft-access-")
  const put = (part: keyof TlsMaterial): string => {
    writeFileSync(join(made, part), shown[part])
    return join(made, part)
  }
  return { cert: put("cert"), key: put("key"), ca: put("ca") }
}
test("a user without a password is refused, and a bare refusal of a node says how to log in", () => {
  expect(() => useGivenAccess({ ...nobody, user: "alice" }, [""], {})).toThrow(/STEPRAFT_PASSWORD, which is not set/)
  useGivenAccess({ ...nobody, user: "alice" }, [""], { STEPRAFT_PASSWORD: "x" })
  expect(access().login).toEqual({ username: "alice", password: "x" })
  useGivenAccess(nobody, [""], {})
  expect(access().login).toBeNull()
  expect(advised("NOAUTH", "NOAUTH Authentication required.")).toMatch(/--user NAME .*--tls-cert/)
  expect(advised("NOPERM", "no")).toBe("no")
})

test("a certificate: whose it is stands beside a refusal, and what would make it count", () => {
  const { cert, key, ca } = written(shownBy("eve", authority, { purpose: "client" }))
  const flags = { ...nobody, tlsCert: cert, tlsKey: key, tlsCa: ca }
  useGivenAccess(flags, [""], {})
  expect(advised("NOAUTH", "NOAUTH Authentication required.")).toMatch(/for eve: the node has no user of that name/)
  expect(advised("NOPERM", "no")).toBe("no")
  for (const [user, addresses, env, way] of [
    [null, "", { STEPRAFT_USER: "alice", STEPRAFT_PASSWORD: "x" }, "unset STEPRAFT_PASSWORD"],
    ["alice", "", { STEPRAFT_PASSWORD: "x" }, "leave --user out, and unset STEPRAFT_PASSWORD"],
    [null, "rediss://alice:x@h:1", {}, "leave name and password out of the address"],
  ] as const) {
    useGivenAccess({ ...flags, user }, [addresses], env)
    expect(advised("NOPERM", "no")).toBe(
      `no alice logged in by name and password, which count before the certificate (--tls-cert) for eve. To come in with that: ${way}.`,
    )
  }
  // It is enough to be asked for TLS.
  useGivenAccess({ ...flags, tlsCa: null }, [""], {})
  expect(access().tls).not.toBeNull()
  useGivenAccess(nobody, [""], {})
})

test("TLS files that cannot be used are refused before a node is asked, in the words of a node's start", () => {
  const mine = written(shownBy("root", authority, { purpose: "client" }))
  const other = written(shownBy("eve", authority, { purpose: "client" }))
  const refused = (given: Partial<Record<"tlsCert" | "tlsKey" | "tlsCa", string>>, env = {}): string => {
    try {
      useGivenAccess({ ...nobody, ...given }, [""], env)
    } catch (error) {
      expect(error).toMatchObject({ _tag: "Failure", code: exitCodes.usage })
      return error instanceof Error ? error.message : ""
    }
    return "taken"
  }
  expect(refused({ tlsCert: mine.cert, tlsKey: mine.key, tlsCa: mine.ca })).toBe("taken")
  expect(refused({ tlsCert: mine.key, tlsKey: mine.cert })).toBe(
    `${mine.key} (--tls-cert) cannot be used for TLS: it holds no certificate (PEM). Nothing was asked.`,
  )
  expect(refused({ tlsCert: mine.cert, tlsKey: other.key })).toBe(
    `${other.key} (--tls-key) cannot be used for TLS: it is not the key of the certificate in ${mine.cert} (--tls-cert). Nothing was asked.`,
  )
  expect(refused({ tlsCert: mine.cert, tlsKey: mine.cert })).toMatch(/\(--tls-key\) .* it holds no private key \(PEM/)
  expect(refused({ tlsCa: mine.key })).toMatch(/\(--tls-ca\) .* it holds no certificate \(PEM\)/)
  expect(refused({}, { STEPRAFT_TLS_CA: "/nowhere/ca.crt" })).toBe(
    "/nowhere/ca.crt (STEPRAFT_TLS_CA) cannot be used for TLS: there is no such file. Nothing was asked.",
  )
  expect(refused({ tlsCa: "/" })).toMatch(/^\/ \(--tls-ca\) cannot be used for TLS: EISDIR/)
  expect(refused({ tlsCert: mine.cert })).toMatch(/^--tls-cert is given without --tls-key: .* Give both, or neither/)
  expect(refused({}, { STEPRAFT_TLS_KEY: mine.key })).toMatch(/^STEPRAFT_TLS_KEY is given without --tls-cert/)
})

test("a program is refused the same before it dials", async () => {
  const { cert } = shownBy("root")
  const dialling = (tls: { readonly cert?: string; readonly key?: string }): Promise<unknown> =>
    connect({ endpoints: "127.0.0.1:1", tls, timeoutMs: 60_000 })
  await expect(dialling({ cert })).rejects.toThrow(/^tls\.key cannot be used for TLS: it is missing, and tls\.cert is/)
  await expect(dialling({ cert, key: shownBy("root").key })).rejects.toThrow(/^tls\.key .* not the key of .* tls\.cert/)
})

test("a backup that a node refuses: the role that it needs, one full stop, and no advice to begin again", async () => {
  const told = (code: string, text: string): string => new BackupRefused({ from: "h:1", code, text }).message
  expect(told("WRONGPASS", "invalid pair.")).toBe(
    "No backup was taken: h:1 answered WRONGPASS invalid pair. Nothing was kept; the cluster is as it was.",
  )
  const store = makeStore()
  const server = await startFake(store)
  try {
    const saving = (): Promise<void> => {
      const file = join(temporaryFolder("stepraft-refused-"), "b")
      const endpoints = [{ host: "127.0.0.1", port: server.port }]
      return save({ endpoints, file, local: false, timeout: 60_000, output: "table" })
    }
    const reply = "-NOPERM alice has the role write, and STEPRAFT SNAPSHOT needs admin. Nothing was executed.\r\n"
    store.fate = () => ({ reply, executed: false })
    await expect(saving()).rejects.toThrow(
      `No backup was taken: 127.0.0.1:${server.port} answered ${reply.slice(1).trim()} A backup needs a user with the role admin. Nothing was kept; the cluster is as it was.`,
    )
    store.fate = () => ({ reply: "-NOAUTH Authentication required.\r\n", executed: false })
    await expect(saving()).rejects.toThrow(/required\. Say who you are: --user .*FILE\. A backup needs .* role admin/)
    store.fate = () => ({ reply: "-ERR busy.\r\n", executed: false })
    await expect(saving()).rejects.toThrow(/was interrupted: ERR busy\. What was .* Begin again/)
  } finally {
    await server.close()
  }
})
