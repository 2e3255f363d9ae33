/** Users and their roles on the port for clients: who gets in, what each may do, and what becomes of it when the file changes. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeEach, expect, test } from "vitest"
import { Table } from "../kv/server/commands/table.ts"
import { parseUsers } from "../kv/server/users/file.ts"
import { decoyAmong, passwordHash, matches, parseHash } from "../kv/server/users/hash.ts"
import { openUsers, type Users } from "../kv/server/users/index.ts"
import { neededFor } from "../kv/server/denied.ts"
import { temporaryFolder, until, within } from "./cluster.ts"
import { dial, exchange, plain, serving, type Raw } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"
import { userLine } from "./tls.kit.ts"

const file = join(temporaryFolder("stepraft-users-"), "users")
const scopes: Scope.Closeable[] = []
afterAll(async () => {
  for (const scope of scopes) await Effect.runPromise(Scope.close(scope, Exit.void))
})
const lines = [userLine("root", "admin", "r"), userLine("ann", "write", "a"), userLine("bob", "read", "b")]
let now = 0
const logs: string[] = []
const opened = async (text: string): Promise<Users> => {
  writeFileSync(file, text)
  const scope = Scope.makeUnsafe()
  scopes.push(scope)
  const log = (_: string, line: string): void => void logs.push(line)
  const options = { file, log, everyMs: 1e9, now: () => now, limits: { maxFailedLogins: 3 } }
  return Effect.runPromise(openUsers(options).pipe(Scope.provide(scope)))
}
const withUsers = async (
  body: (as: (name?: string, password?: string) => Promise<Raw>, users: Users, port: number) => Promise<void>,
  text = lines.join("\n"),
): Promise<void> => {
  const users = await opened(text)
  await serving(makeFake(), { users }, async (port) => {
    const open: Raw[] = []
    const as = async (name?: string, password = ""): Promise<Raw> => {
      const client = await dial(port)
      open.push(client)
      if (name !== undefined) await client.send("AUTH", name, password)
      return client
    }
    await body(as, users, port)
    for (const { socket } of open) socket.destroy()
  })
}
const code = async (client: Raw, ...words: readonly string[]): Promise<string> => {
  const told = plain(await client.send(...words))
  return typeof told === "string" ? (told.split(" ")[0] ?? "") : JSON.stringify(told)
}
beforeEach(() => {
  now = 0
  logs.length = 0
})

test("before AUTH nothing is answered but what leads to it, and unknown commands are not told from others", async () => {
  await withUsers(async (as) => {
    const client = await as()
    for (const words of [["GET", "a"], ["PING"], ["NOSUCH"], ["CLIENT", "LIST"], ["MULTI"], ["STEPRAFT", "STATUS"]])
      expect(await code(client, ...words)).toBe("-NOAUTH")
    expect(await code(client, "HELLO", "3")).toBe("-NOAUTH")
    expect(await code(client, "AUTH", "a")).toBe("-WRONGPASS")
    expect(await code(client, "AUTH", "ann", "b")).toBe("-WRONGPASS")
    expect(await code(client, "AUTH", "ann", "a")).toBe("OK")
    expect(await code(client, "SET", "a", "1")).toBe("OK")
    expect(await code(client, "RESET")).toBe("RESET")
    expect(await code(client, "GET", "a")).toBe("-NOAUTH")
  })
})

test("what is sent behind an AUTH waits for it, in the order of the connection", async () => {
  await withUsers(async (_, __, port) => {
    const sent = "GET a\r\nAUTH bob b\r\nSET a 1\r\nGET a\r\nAUTH ann a\r\nSET a 2\r\nGET a\r\nQUIT\r\n"
    const told = (await exchange(port, sent)).split("\r\n").map((line) => line.split(" ")[0])
    expect(told).toEqual(["-NOAUTH", "+OK", "-NOPERM", "$-1", "+OK", "+OK", "$1", "2", "+OK", ""])
    // HELLO answers in the protocol that it asks for, and only if it let somebody in.
    expect(await exchange(port, "HELLO 3 AUTH ann a SETNAME x\r\nCLIENT GETNAME\r\nQUIT\r\n")).toMatch(
      /^%7\r\n[^]*\$1\r\nx\r\n\+OK/,
    )
    const wrong = await exchange(port, "HELLO 3 AUTH ann x\r\nHELLO 2 AUTH ann a\r\nQUIT\r\n")
    expect(wrong).toMatch(/^-WRONGPASS[^]*\r\n\*14\r\n/)
  })
})

test("each role has its commands, in a transaction and in a session too", async () => {
  await withUsers(async (as) => {
    const [bob, ann, root] = [await as("bob", "b"), await as("ann", "a"), await as("root", "r")]
    expect(await code(bob, "GET", "a")).toBe("null")
    expect(plain(await bob.send("SET", "a", "1"))).toBe(
      "-NOPERM bob has the role read, and SET needs write. Nothing was executed.",
    )
    expect(plain(await ann.send("CONFIG", "GET", "*"))).toMatch(
      /^-NOPERM ann has the role write, and CONFIG GET needs admin/,
    )
    for (const words of [
      ["FLUSHALL"],
      ["CLIENT", "KILL", "ID", "1"],
      ["CLIENT", "LIST"],
      ["STEPRAFT", "MEMBER", "LIST"],
      ["STEPRAFT", "TRANSFER"],
      ["STEPRAFT", "SNAPSHOT", "OPEN"],
      ["STEPRAFT", "DO", `1-${"0".repeat(32)}`, "1", "1", "FLUSHALL"],
      ["STEPRAFT", "EXEC", `1-${"0".repeat(32)}`, "1", "1", "0", "1", "FLUSHALL"],
    ]) {
      expect(await code(ann, ...words)).toBe("-NOPERM")
    }
    expect(await code(root, "FLUSHALL")).toBe("OK")
    expect(await code(root, "CLIENT", "LIST")).toMatch(/^id=/)
    expect(await code(bob, "STEPRAFT", "SESSION", "OPEN", "x")).toBe("-NOPERM")
    expect(await code(bob, "MULTI")).toBe("OK")
    expect(await code(bob, "SET", "a", "1")).toBe("-NOPERM")
    expect(await code(bob, "EXEC")).toBe("-EXECABORT")
    expect(await code(root, "CLIENT", "KILL", "USER", "bob")).toBe("1")
    await bob.ended
  })
})

test("a command that somebody adds is for administrators unless it is told to be a store's, or stands here", () => {
  const own = new Table().all.filter(({ does }) => typeof does !== "string")
  const needed = (role: string): readonly string[] =>
    own.flatMap((known) => (neededFor(known, [Buffer.from(known.name)]) === role ? [known.name] : [])).toSorted()
  expect(needed("read")).toEqual(
    "auth client cluster command discard echo exec hello info multi ping quit readonly readwrite reset role select time unwatch watch".split(
      " ",
    ),
  )
  expect(needed("write")).toEqual([])
})

test("a connection that does not say who it is takes its place for a while only", async () => {
  const users = await opened(lines.join("\n"))
  await serving(makeFake(), { users, limits: { loginMs: 200 } }, async (port) => {
    const [nameless, ann] = [await dial(port), await dial(port)]
    expect(plain(await ann.send("AUTH", "ann", "a"))).toBe("OK")
    await nameless.ended
    expect(plain(await ann.send("PING"))).toBe("PONG")
    ann.socket.destroy()
  })
})

test("strangers take no place from a user, however many come", async () => {
  const users = await opened(lines.join("\n"))
  await serving(makeFake(), { users, limits: { maxClients: 8, reservedClients: 0 } }, async (port, server) => {
    const known = await Promise.all(Array.from({ length: 5 }, () => dial(port)))
    for (const one of known) expect(plain(await one.send("AUTH", "ann", "a"))).toBe("OK")
    const crowd = await Promise.all(Array.from({ length: 30 }, () => dial(port)))
    await until("they gave way to one another", () => server.stats().gaveWay === 27)
    for (let i = 0; i < 3; i++) {
      const late = await dial(port)
      expect(plain(await late.send("AUTH", "bob", "b"))).toBe("OK")
      known.push(late)
    }
    for (const one of known) expect(plain(await one.send("PING"))).toBe("PONG")
    expect(await (await dial(port)).ended).toMatch(/^-ERR max number of clients reached/)
    for (const { socket } of [...crowd, ...known]) socket.destroy()
  })
})

test("of those that have not logged in, there are no more than so many, whatever else is free", async () => {
  const users = await opened(lines.join("\n"))
  await serving(makeFake(), { users, limits: { maxUnauthenticated: 2 } }, async (port, server) => {
    const [one, ...more] = [await dial(port), await dial(port), await dial(port)]
    await one?.ended
    expect(server.stats().gaveWay).toBe(1)
    for (const { socket } of more) socket.destroy()
  })
})

test("before AUTH a connection holds little: no long words, no long lists, no answers that are not read", async () => {
  await withUsers(async (as, _, port) => {
    const root = await as("root", "r")
    const large = "x".repeat(100_000)
    for (const sent of [
      `*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$${large.length}\r\n${large}`,
      `*1000\r\n$4\r\nMGET\r\n`,
      large,
    ])
      expect(await exchange(port, sent)).toMatch(/^-ERR Protocol error: .*before AUTH little is taken/)
    // What is too long but ends is refused like all else.
    expect(await exchange(port, `*2\r\n$3\r\nGET\r\n$9000\r\n${"x".repeat(9000)}\r\nAUTH bob b\r\nQUIT\r\n`)).toBe(
      "-NOAUTH Authentication required.\r\n+OK\r\n+OK\r\n",
    )
    const half = await dial(port)
    half.write(`*3\r\n$3\r\nSET\r\n$4000\r\n${"x".repeat(4000)}\r\n$4000\r\n${"x".repeat(3000)}`)
    const greedy = await dial(port)
    greedy.socket.on("error", () => {})
    greedy.socket.pause()
    greedy.write("PING\r\n".repeat(10_000))
    const list = async (): Promise<readonly string[]> =>
      String(plain(await root.send("CLIENT", "LIST")))
        .trim()
        .split("\n")
    await until("the greedy one is cut off", async () => (await list()).length === 2)
    const held = (await list()).map((line) => Number(/tot-mem=(\d+)/.exec(line)?.[1]))
    expect(Math.max(...held)).toBeLessThan(20_000)
    for (const { socket } of [half, greedy]) socket.destroy()
  })
})

test("the time for a login begins anew with a RESET of whoever was in, and with no other", async () => {
  const users = await opened(lines.join("\n"))
  let clock = 0
  await serving(makeFake(), { users, limits: { loginMs: 50 }, now: () => clock }, async (port) => {
    const [first, ann] = [await dial(port), await dial(port)]
    expect(plain(await ann.send("AUTH", "ann", "a"))).toBe("OK")
    clock += 1000
    expect(plain(await ann.send("RESET"))).toBe("RESET")
    await first.ended
    expect(plain(await ann.send("PING")), "a look has been taken").toMatch(/^-NOAUTH/)
    clock += 40
    expect(plain(await ann.send("RESET"))).toBe("RESET")
    clock += 11
    await ann.ended
  })
})

test("guesses from one address lock it out for a minute, others and who is in go on; a right password is known again", async () => {
  await withUsers(async (as, users) => {
    const inside = await as("ann", "a")
    const guessing = await as()
    for (let i = 0; i < 3; i++) expect(await code(guessing, "AUTH", "root", `${i}`)).toBe("-WRONGPASS")
    expect(plain(await guessing.send("AUTH", "root", "r"))).toMatch(/^-WRONGPASS too many wrong passwords .* for 60 s/)
    expect(await users.login("root", Buffer.from("r"), "10.0.0.9")).toMatchObject({ type: "granted" })
    expect(await code(inside, "GET", "a")).toBe("null")
    expect(users.counts()).toMatchObject({ failed: 3, locked: 1 })
    expect(logs.filter((line) => line.includes("gave a wrong name or password"))).toHaveLength(1)
    expect(logs.filter((line) => line.includes("locked out"))).toEqual([
      expect.stringMatching(/^127\.0\.0\.1 is locked out until \S+Z, after 3 wrong passwords/),
    ])
    now += 60_000
    expect(await code(guessing, "AUTH", "root", "r")).toBe("OK")
    // Known already, and not yet: as after a restart.
    for (const [name, password] of [
      ["root", "r"],
      ["bob", "b"],
    ] as const) {
      const many = Array.from({ length: 1000 }, (_, i) => users.login(name, Buffer.from(password), `10.0.${i}.9`))
      expect(
        (await Promise.all(many)).every(({ type }) => type === "granted"),
        name,
      ).toBe(true)
    }
    const crowd = Array.from({ length: 400 }, (_, i) => users.login("ann", Buffer.from(`x${i}`), `10.0.1.${i}`))
    const told = (await Promise.all(crowd)).map(({ type }) => type)
    // One at a time, and 256 that wait: the rest is told so.
    expect(told.filter((type) => type === "wrong")).toHaveLength(257)
    expect(told.filter((type) => type === "busy")).toHaveLength(143)
  })
})

test("neither the time of an answer nor what it waits for tells whether a name exists", async () => {
  const users = await opened(lines.join("\n"))
  for (const names of [
    ["nobody", "no-other"],
    ["nobody", "ann"],
  ] as const) {
    const decided: string[] = []
    const [first, second] = names.map((name, i) =>
      users.login(name, Buffer.from("guess"), `10.0.${i}.1`).then(() => decided.push(name)),
    )
    await first
    // The second check may have begun, and no check ends before the event loop turns.
    for (let i = 0; i < 100; i++) await Promise.resolve()
    expect(decided).toEqual(["nobody"])
    await second
  }
  const { N, r, p, salt, hash } = decoyAmong(["-", "nopass", ...lines.map((line) => line.split(" ")[2] ?? "")])
  expect([N, r, p, salt.length, hash]).toEqual([16, 1, 1, 16, Buffer.alloc(32)])
  expect(decoyAmong(["-"]).N).toBe(16_384)
})

test("the file changes: who is gone or has another password goes, another role counts at once, a mistake changes nothing", async () => {
  await withUsers(async (as, users) => {
    const [bob, ann, root] = [await as("bob", "b"), await as("ann", "a"), await as("root", "r")]
    writeFileSync(file, "ann admn x")
    await users.look()
    expect(logs.at(-1)).toMatch(/the earlier one stays in force: line 1: the name must be followed by a role/)
    expect(await code(bob, "GET", "a")).toBe("null")
    const refusals = (): number => logs.filter((line) => line.includes("stays in force")).length
    for (const [later, times] of [
      [1_000, 1],
      [3_600_000, 2],
    ] as const) {
      now += later
      await users.look()
      expect(refusals(), "said again every hour").toBe(times)
    }
    writeFileSync(file, lines.join("\n"))
    chmodSync(file, 0o644)
    await users.look()
    expect(logs.at(-1)).toBe("the file of users is the one in force again")
    writeFileSync(file, [lines[0], userLine("ann", "read", "a"), userLine("bob", "read", "new")].join("\n"))
    await users.look()
    await bob.ended
    expect(logs.at(-1)).toMatch(/can be read by other users of this machine \(mode 644\), .* chmod 600 /)
    expect(await code(ann, "SET", "a", "1")).toBe("-NOPERM")
    expect(await code(root, "FLUSHALL")).not.toBe("-NOPERM")
    expect(await code(await as(), "AUTH", "bob", "b")).toBe("-WRONGPASS")
    expect(await code(await as(), "AUTH", "bob", "new")).toBe("OK")
    await until("bob is gone", () => bob.socket.destroyed)
  })
})

test("a role that was taken away stays away: RESET gives none back, and what was queued under another is not executed", async () => {
  await withUsers(async (as, users) => {
    const [first, second] = [await as(), await as()]
    expect(await code(first, "CONFIG", "GET", "maxmemory")).not.toBe("-NOPERM")
    await second.send("MULTI")
    await second.send("SET", "a", "1")
    writeFileSync(file, `default read nopass\n${lines[0]}`)
    await users.look()
    expect(await code(second, "EXEC")).toBe("-EXECABORT")
    expect(await code(first, "CONFIG", "GET", "maxmemory")).toBe("-NOPERM")
    expect(await code(first, "RESET")).toBe("RESET")
    expect(await code(first, "CONFIG", "GET", "maxmemory")).toBe("-NOPERM")
    // Under MULTI nobody could wait for the proof.
    await first.send("MULTI")
    expect(await code(first, "AUTH", "root", "r")).toBe("QUEUED")
    expect(await code(first, "EXEC")).toContain("cannot run inside MULTI")
    expect(await code(first, "PING")).toBe("PONG")
  }, "default admin nopass")
})

test("a write that waits is not executed by whoever has lost the role meanwhile", async () => {
  const fake = makeFake()
  const held: (() => void)[] = []
  const service = {
    ...fake,
    write: (...given: Parameters<typeof fake.write>) => void held.push(() => fake.write(...given)),
  }
  const users = await opened(lines.join("\n"))
  await serving(service, { users }, async (port) => {
    const ann = await dial(port)
    await ann.send("AUTH", "ann", "a")
    const value = "x".repeat(5_000_000)
    // The second one would be too much for the log together with the first.
    const told = [ann.send("SET", "a", value), ann.send("SET", "b", value), ann.send("STRLEN", "a")]
    expect(plain(await (await dial(port)).send("PING"))).toMatch(/^-NOAUTH/)
    const root = await dial(port)
    await root.send("AUTH", "root", "r")
    await until("the first is under way, and the second is there", async () => {
      const list = String(plain(await root.send("CLIENT", "LIST")))
      return (
        held.length > 0 &&
        /user=ann\b/.test(list) &&
        Number(/tot-mem=(\d{8,})/.exec(list)?.[1] ?? 0) >= 2 * value.length
      )
    })
    writeFileSync(file, [lines[0], userLine("ann", "read", "a")].join("\n"))
    await users.look()
    for (const release of held.splice(0)) release()
    expect((await Promise.all(told)).map(plain)).toEqual([
      "OK",
      "-NOPERM ann has lost the role write while the command waited. Nothing was executed.",
      5_000_000,
    ])
    expect(held).toEqual([])
    for (const { socket } of [ann, root]) socket.destroy()
  })
})

test("a login waits for no write of others, however many the cluster does not answer", async () => {
  let held = 0
  const users = await opened(lines.join("\n"))
  await serving({ ...makeFake(), write: () => void held++ }, { users }, async (port) => {
    const ann = await dial(port)
    await ann.send("AUTH", "ann", "a")
    const value = "x".repeat(15_000)
    const given = Array.from({ length: 100 }, () => ann.send("SET", "a", value).catch(() => undefined))
    await until("no more writes are let in", () => held > 20)
    const root = await dial(port)
    const login = await within(20_000, code(root, "AUTH", "root", "r"))
    for (const { socket } of [ann, root]) socket.destroy()
    expect(login).toBe("OK")
    expect(held).toBeLessThan(given.length)
  })
})

test("an AUTH behind a write of unknown outcome has its own answer, and counts", async () => {
  const unknown = { type: "error", code: "UNKNOWN", text: "who knows" } as const
  const users = await opened(lines.join("\n"))
  await serving(makeFake({ verdict: (write) => (write === 0 ? unknown : null) }), { users }, async (port) => {
    const sent = "AUTH ann a\r\nSET a 1\r\nAUTH bob b\r\nSET a 2\r\nAUTH ann a\r\nSET a 3\r\nQUIT\r\n"
    const told = (await exchange(port, sent)).split("\r\n").map((line) => line.split(" ")[0])
    expect(told).toEqual(["+OK", "-UNKNOWN", "+OK", "-NOPERM", "+OK", "+OK", "+OK", ""])
  })
})

test("a right password that was looked at while the file changed is no guess", async () => {
  await withUsers(async (_, users) => {
    // Others come first, so that it waits.
    const guesses = Array.from({ length: 60 }, (_, i) => users.login("bob", Buffer.from(`x${i}`), `10.1.0.${i}`))
    let decided = false
    const login = users.login("ann", Buffer.from("a"), "10.0.0.1").finally(() => (decided = true))
    writeFileSync(file, `${lines.join("\n")}\n# a note`)
    await users.look()
    expect(decided, "the file has changed first").toBe(false)
    expect(await login).toMatchObject({ type: "granted" })
    await Promise.all(guesses)
  })
})

test("a certificate is a user's without a password; default needs none if it says nopass", async () => {
  const users = await opened(`${lines.join("\n")}\nops admin - # by certificate only\ndefault read nopass`)
  expect(users.arrives("ops")).toMatchObject({ name: "ops", role: "admin" })
  expect(users.arrives("nobody")).toBeNull()
  expect(users.arrives(null)).toMatchObject({ name: "default", role: "read" })
  expect(await users.login("ops", Buffer.from("-"), "x")).toEqual({ type: "wrong" })
  expect(await users.login("default", Buffer.from("whatever"), "x")).toMatchObject({ type: "granted" })
})

test("hashes: the same password has another each time; a line cannot ask for more than is bearable", async () => {
  const [one, two] = [await passwordHash(Buffer.from("pass")), await passwordHash(Buffer.from("pass"))]
  expect(one).not.toBe(two)
  const parsed = parseHash(one)
  expect(parsed).not.toBeNull()
  if (parsed !== null) {
    expect(await matches(Buffer.from("pass"), parsed)).toBe(true)
    expect(await matches(Buffer.from("Pass"), parsed)).toBe(false)
  }
  for (const wrong of [
    one.replace(":16384:", ":9999999:"),
    one.replace("16384", "16383"),
    one.replace(":8:", ":99:"),
    "x",
  ])
    expect(parseHash(wrong)).toBeNull()
  expect(parseUsers("")).toMatch(/no user has the role admin/)
  expect(parseUsers(`${lines[0]}\n${lines[0]}`)).toMatch(/line 2: root is listed twice/)
  expect(parseUsers(`${lines[0]} more`)).toMatch(/line 1: nothing may follow/)
})
