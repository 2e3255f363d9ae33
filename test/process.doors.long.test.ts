/**
 * Who comes to the ports of real nodes and is not let in: both ends say why and what to do, nothing else is disturbed, and
 * whoever comes again and again fills no log. Then every certificate is replaced under load.
 */
import { renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as tls from "node:tls"
import { expect, test } from "vitest"
import type { Message } from "../core/index.ts"
import { makeAuthority } from "../interpreters/tls/index.ts"
import { until, withCluster, within, type Cluster, type Watched } from "./cluster.ts"
import { ask, impostor, withSecuredCluster, type Secured } from "./doors.kit.ts"
import { forge, forgeries, overhear } from "./forger.ts"
import { memberOf, preambleAndHello } from "./tcp.nodes.ts"
import { authority, DAY, nameless, shownBy, stranger } from "./tls.kit.ts"
import { startWorkload, verify, type Workload } from "./workload.ts"

const past = { from: new Date(Date.now() - 3 * DAY) }
const future = { from: new Date(Date.now() + DAY / 2) }
const client = { purpose: "client" } as const

/** What must be as it was, whoever came. */
interface Before {
  readonly pids: readonly number[]
  readonly term: number | undefined
}
const here = async (cluster: Cluster, staying: readonly string[]): Promise<Before> => ({
  pids: staying.map((id) => cluster.process(id).pid),
  term: (await cluster.status(staying[0] ?? ""))?.term,
})
/** Both of them run, the term is the same, they are connected, and writes go on. */
const undisturbed = async (
  cluster: Cluster,
  staying: readonly string[],
  before: Before,
  load: Workload,
): Promise<void> => {
  await load.nextAfter(performance.now())
  expect(await here(cluster, staying)).toEqual(before)
  const [one, other] = staying
  const status = await cluster.status(one ?? "")
  expect(status?.peers.find(({ id }) => id === other)?.connected).toBe(true)
}
/** Lines of this log that people must read. */
const complaints = (cluster: Cluster, id: string, from: number): readonly string[] =>
  cluster
    .process(id)
    .output()
    .slice(from)
    .split("\n")
    .filter((line) => / (warn|error) /.test(line))

/** What whoever dials is told, and how that ended. `sent`: once TLS stands. */
const speak = (port: number, as: tls.ConnectionOptions, sent: Uint8Array | string): Promise<string> =>
  new Promise((resolve) => {
    let told = ""
    const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...as })
    socket.on("data", (chunk: Buffer) => (told += chunk.toString("latin1")))
    socket.on("error", ({ message }) => (told += message))
    socket.on("close", () => resolve(told))
    socket.write(sent)
  })

interface Node {
  readonly what: string
  readonly flags: (secured: Secured) => readonly string[]
  /** It starts in a cluster of its own. */
  readonly apart?: boolean
  /** It does not start. */
  readonly ends?: boolean
  readonly says: RegExp
  /** What the node says that is in the cluster. */
  readonly heard?: RegExp
}
const trusted = ({ folder }: Secured, file = "ca.crt"): readonly string[] => ["--tls-ca", join(folder, file)]
const nodes: readonly Node[] = [
  {
    what: "plaintext",
    flags: () => [],
    says: /speaks TLS, and this node does not.*tls-cert/,
    heard: /TLS handshake on a connection from .* failed.*tls-cert/,
  },
  {
    what: "the wrong authority",
    flags: (it) => [...it.certify("x", "VICTIM", stranger), ...trusted(it, "stranger.crt")],
    says: /no authority that is trusted here has signed it.*stepraft cert/,
    heard: /no authority that is trusted here has signed it.*stepraft cert/,
  },
  {
    what: "another cluster with the same authority",
    flags: (it) => [...it.certify("x", "VICTIM"), ...trusted(it)],
    apart: true,
    says: /WrongCluster.*correct the peer addresses/,
    heard: /WrongCluster.*correct the peer addresses/,
  },
  {
    what: "an expired certificate",
    flags: (it) => [...it.certify("expired", "VICTIM", authority, past), ...trusted(it)],
    ends: true,
    says: /it ended at .*make a new one \(stepraft cert node/,
  },
  {
    what: "one that is not valid yet",
    flags: (it) => [...it.certify("early", "VICTIM", authority, future), ...trusted(it)],
    ends: true,
    says: /it begins at .*clock right/,
  },
  {
    what: "another member's certificate",
    flags: (it) => [...it.certify("other", "n9"), ...trusted(it)],
    ends: true,
    says: /it is for n9, and this node is .*stepraft cert node/,
  },
  {
    what: "a client's certificate",
    flags: (it) => [...it.certify("client", "VICTIM", authority, client), ...trusted(it)],
    ends: true,
    says: /not made for a node.*stepraft cert node/,
  },
]

/** Those that no node of ours would even try. `name`: whose place it takes. */
const wires = (
  name: string,
): Readonly<Record<string, readonly [as: tls.ConnectionOptions, hello: Uint8Array, told: RegExp]>> => {
  const hello = preambleAndHello(memberOf(name), "VICTIM")
  const older = Buffer.from(hello)
  older.writeUInt16BE(1, 8)
  older.writeUInt16BE(2, 10)
  const low = { minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" } as const
  return {
    "no certificate": [{}, hello, /showed no certificate.*stepraft cert/],
    expired: [shownBy(name, authority, past), hello, /has expired: replace it/],
    "not yet valid": [shownBy(name, authority, future), hello, /not valid yet: check the clocks/],
    "another authority": [shownBy(name, stranger), hello, /no authority that is trusted/],
    "names that cannot be read": [nameless(name), hello, /no authority that is trusted/],
    "another member": [shownBy("n9"), hello, /Untrusted|its certificate is for n9.*stepraft cert node/],
    "a client": [shownBy(name, authority, client), hello, /is a client's.*stepraft cert node/],
    "TLS 1.2": [{ ...shownBy(name), maxVersion: "TLSv1.2" }, hello, /protocol version/],
    "TLS 1.1": [{ ...shownBy(name), ...low, maxVersion: "TLSv1.1" }, hello, /protocol|version/],
    "TLS 1.0": [{ ...shownBy(name), ...low, maxVersion: "TLSv1" }, hello, /protocol|version/],
    "an older protocol of ours": [shownBy(name), older, /no version in common: upgrade/],
  }
}

interface Caller {
  readonly what: string
  readonly words?: readonly string[]
  readonly env?: (secured: Secured) => Readonly<Record<string, string>>
  readonly says: RegExp
  /** Logged by the node. */
  readonly heard?: RegExp
}
const certified = (secured: Secured, ...given: Parameters<Secured["certify"]>): Readonly<Record<string, string>> => {
  const [, STEPRAFT_TLS_CERT = "", , STEPRAFT_TLS_KEY = ""] = secured.certify(...given)
  return { ...believing(secured), STEPRAFT_TLS_CERT, STEPRAFT_TLS_KEY }
}
const believing = ({ folder }: Secured, file = "ca.crt") => ({ STEPRAFT_TLS_CA: join(folder, file) })
const login = (secured: Secured, user: string, password: string) => ({
  ...believing(secured),
  STEPRAFT_USER: user,
  STEPRAFT_PASSWORD: password,
})
const callers: readonly Caller[] = [
  {
    what: "plaintext",
    says: /speaks TLS, and this client does not: .*--tls-ca FILE/,
    heard: /TLS handshake with a client at .* failed.*rediss:/,
  },
  { what: "no certificate and no name", env: (it) => believing(it), says: /NOAUTH/ },
  { what: "a node that it does not trust", env: (it) => believing(it, "stranger.crt"), says: /certificate/ },
  {
    what: "an expired certificate",
    env: (it) => certified(it, "c", "ops", authority, { ...client, ...past }),
    says: /NOAUTH .*has expired.*--replace.*leave the certificate out/,
    heard: /refused a client .*has expired/,
  },
  {
    what: "one that is not valid yet",
    env: (it) => certified(it, "c", "ops", authority, { ...client, ...future }),
    says: /NOAUTH .*not valid yet.*clocks/,
    heard: /refused a client .*not valid yet/,
  },
  {
    what: "one of another authority",
    env: (it) => certified(it, "c", "ops", stranger, client),
    says: /NOAUTH .*no authority that is trusted here.*stepraft cert client/,
    heard: /refused a client .*no authority/,
  },
  {
    what: "another's name",
    env: (it) => certified(it, "c", "nobody", authority, client),
    says: /NOAUTH .*Your certificate says nobody, and no user has that name/,
  },
  {
    what: "a wrong password",
    env: (it) => login(it, "ann", "x"),
    says: /WRONGPASS invalid username-password pair/,
    heard: /gave a wrong name or password/,
  },
  {
    what: "the wrong role",
    env: (it) => login(it, "bob", "b"),
    words: ["set", "k", "v"],
    says: /NOPERM bob has the role read, and STEPRAFT SESSION needs write. Nothing was executed/,
  },
]

const terms = (cluster: Cluster): Promise<readonly number[]> =>
  Promise.all(cluster.ids.map(async (id) => (await until(`${id} answers`, () => cluster.status(id))).term))

/** Every certificate and the authority are replaced, and no request fails. */
const rotate = async ({ cluster, folder, certify, identify }: Secured, load: Workload): Promise<void> => {
  const next = makeAuthority({ days: 2 })
  const both = `${authority.certificate}${next.certificate}`
  const since = cluster.ids.map((id) => cluster.process(id).output().length)
  const told = (word: string): readonly number[] =>
    cluster.ids.map((id, i) => cluster.process(id).output().slice(since[i]).split(word).length - 1)
  const first = load.attempts.length
  const before = (await terms(cluster)).join()
  let steps = 0
  const taken = async (): Promise<void> => {
    steps++
    await until("every node has taken it up", () =>
      told("new TLS files are in force").every((times) => times === steps),
    )
    await load.nextAfter(performance.now())
    // Whoever comes now is let in, too.
    for (const id of cluster.ids) await until(`${id} answers`, () => cluster.status(id))
  }
  const trust = (ca: string): void => {
    writeFileSync(join(folder, "ca.new"), ca)
    renameSync(join(folder, "ca.new"), join(folder, "ca.crt"))
  }
  identify(authority, both)
  trust(both)
  await taken()
  for (const id of cluster.ids) certify(id, id, next)
  await taken()
  identify(next, both)
  trust(next.certificate)
  await taken()
  const made = () => load.attempts.slice(first).filter(({ outcome }) => outcome !== "pending")
  await until("a hundred requests are answered", () => made().length > 100)
  // On a busy machine leadership may change: then only a session learns what became of its write.
  const calm = (await terms(cluster)).join() === before
  expect(made().filter(({ session, outcome }) => outcome !== "acknowledged" && (session || calm))).toEqual([])
  expect(told("disconnected")).toEqual([0, 0, 0])
  identify(authority, both)
  expect(await cluster.status(cluster.ids[0] ?? ""), "the old one counts no more").toBeNull()
  identify(next, both)
}

test("whoever does not belong here is refused at both ends, in words that say what to do, and disturbs nobody", () =>
  withSecuredCluster(async (secured) => {
    const { cluster } = secured
    const load = startWorkload(cluster, { sessions: 1, plain: 1, pause: 20 })
    await load.nextAfter(performance.now())
    const [victim = ""] = await cluster.followers()
    const staying = cluster.ids.filter((id) => id !== victim)
    const [asked = ""] = staying
    const place = cluster.member(asked)
    const from = cluster.process(asked).output().length

    // At the port for peers, as itself, twenty times each and all at once; the victim is there all the while.
    const all = await here(cluster, cluster.ids)
    const { incarnation = "" } = (await cluster.status(asked)) ?? {}
    expect(incarnation).not.toBe("")
    for (const [what, [as, hello, expected]] of Object.entries(wires(victim))) {
      const secureContext = tls.createSecureContext(as)
      const said = await Promise.all(Array.from({ length: 20 }, () => speak(place.peerPort, { secureContext }, hello)))
      for (const text of said) {
        expect(text, what).toMatch(expected)
        expect(text, `${what} learns no incarnation`).not.toContain(incarnation)
      }
    }
    expect(complaints(cluster, asked, from).length, "logged without flooding").toBeLessThan(20)
    await undisturbed(cluster, cluster.ids, all, load)

    // What a member could say and do, from whoever is none: nothing of it is believed (attacks.test.ts shows that in the
    // clear all of it is).
    const term = all.term ?? 0
    const { ca } = shownBy(victim)
    const identities = {
      "in the clear": null,
      "without a certificate": { ca },
      "another authority's": { ...shownBy(victim, stranger), ca },
      "a client's": { ...shownBy(victim, authority, client), ca },
      "another member's": { ...shownBy(staying[1] ?? ""), ca },
    }
    const incarnationOf = (await cluster.status(victim))?.incarnation ?? ""
    for (const [what, as] of Object.entries(identities)) {
      const said = [victim, "n9"].map((name) =>
        forge(
          place.peerPort,
          as,
          name,
          asked,
          { clientAddress: "evil:1" },
          Object.values(forgeries(term)),
          incarnationOf,
        ),
      )
      await Promise.all(said.map(({ over }) => over))
      for (const { heard } of said) expect(heard(), what).not.toMatch(new RegExp(`${incarnation}|${incarnationOf}`))
    }
    expect((await cluster.status(asked))?.peers.find(({ id }) => id === victim)?.client).not.toBe("evil:1")
    await undisturbed(cluster, cluster.ids, all, load)

    // As a process at the victim's place.
    await cluster.kill(victim, "SIGTERM")
    await load.nextAfter(performance.now())
    const before = await here(cluster, staying)
    const certificate = (...[file, name, ...rest]: Parameters<Secured["certify"]>) =>
      secured.certify(file, name === "VICTIM" ? victim : name, ...rest)
    const arrive = ({ flags, apart = false }: Node): Watched =>
      impostor(cluster, victim, flags({ ...secured, certify: certificate }), !apart)
    // Those that end at once disturb one another no more than others.
    const [ending, present] = [nodes.filter(({ ends }) => ends === true), nodes.filter(({ ends }) => ends !== true)]
    await Promise.all(
      ending.map(async (node) => {
        const other = arrive(node)
        expect(await other.exited, node.what).not.toBe(0)
        expect(other.output(), node.what).toMatch(node.says)
      }),
    )
    const open = "serve --id n9 --client 127.0.0.1:1 --peer 0.0.0.0:1 --peers n9=10.0.0.9:1 --data"
    expect(await ask([...open.split(" "), join(secured.folder, "n9")])).toMatchObject({
      code: 2,
      text: expect.stringMatching(
        /can be reached from other machines, and without TLS .* --plaintext peers/,
      ) as unknown,
    })
    for (const node of present) {
      const { what, says, heard } = node
      const since = cluster.process(asked).output().length
      const other = arrive(node)
      await until(`${what}: it is told`, () => says.test(other.output()))
      await until(`${what}: so is the node`, () => complaints(cluster, asked, since).some((line) => heard?.test(line)))
      other.signal("SIGKILL")
      await other.exited
      await undisturbed(cluster, staying, before, load)
    }
    cluster.start(victim)

    // At the port for clients.
    const endpoint = ["--endpoints", `127.0.0.1:${place.clientPort}`, "--timeout", "3000"]
    for (const { what, words = ["get", "k"], env, says, heard } of callers) {
      const since = cluster.process(asked).output().length
      const { code, text } = await ask([...words, ...endpoint], env?.(secured))
      expect({ what, code, text }).toMatchObject({ code: 1, text: expect.stringMatching(says) as unknown })
      if (heard !== undefined)
        await until(`${what}: the node says so`, () =>
          complaints(cluster, asked, since).some((line) => heard.test(line)),
        )
    }
    expect(await speak(place.clientPort, nameless("ann"), "PING\r\n"), "names that cannot be read").toMatch(/NOAUTH/)
    const low = { minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" } as const
    for (const maxVersion of ["TLSv1", "TLSv1.1"] as const)
      expect(await speak(place.clientPort, { ...low, maxVersion }, "PING\r\n"), maxVersion).toMatch(/protocol|version/)
    expect(
      (await ask(["get", "k", ...endpoint], login(secured, "bob", "b"))).code,
      "and who belongs here is served",
    ).toBe(1)
    expect((await ask(["set", "k", "v", ...endpoint], login(secured, "ann", "a"))).text).toBe("OK\n")
    expect((await ask(["get", "k", ...endpoint], login(secured, "bob", "b"))).text).toBe("v\n")
    await undisturbed(cluster, staying, before, load)

    await rotate(secured, load)
    const { wrong } = await verify(cluster, [load])
    expect(wrong).toEqual([])
  }))

test("in the clear, whoever gets to the place of a member is one: he hears who is who, sends clients elsewhere, pushes a true one away, calls elections, speaks for the leader, and uses up the terms", () =>
  withCluster({}, async (cluster) => {
    const leader = await cluster.leader()
    const [away = "", other = ""] = await cluster.followers()
    await cluster.kill(away)
    /** As this running member towards that one, with what it says of itself. */
    const pose = async (as: string, to: string, ...messages: readonly Message[]) => {
      const { member, ...hello } = await overhear(cluster.member(away).peerPort, as)
      const local = { ...hello, clientAddress: "evil:1" }
      return forge(cluster.member(to).peerPort, null, as, to, local, messages, member.incarnation)
    }
    const termOf = async (id: string): Promise<number> => (await cluster.status(id))?.term ?? 0
    const { incarnation = "" } = (await cluster.status(leader)) ?? {}
    const follower = await pose(other, leader)
    await until("its address is what he says", async () =>
      (await cluster.status(leader))?.peers.some(({ id, client }) => id === other && client === "evil:1"),
    )
    expect(follower.heard(), "he hears who the leader is").toContain(incarnation)
    await until("and the true one is pushed away", () =>
      cluster.process(leader).output().includes(`${other} disconnected`),
    )
    follower.socket.destroy()

    // Again and again, here and below: the true one may take its place back before the message is read, and terms go on.
    const before = await until("its term is known", async () => (await termOf(other)) || null)
    await until("an election is held", async () => {
      const term = await termOf(other)
      if (term > before) return true
      const calling = await pose(leader, other, { type: "TimeoutNow", term })
      await within(500, calling.over)
      calling.socket.destroy()
      return false
    })

    const leading = await cluster.leader()
    const last = cluster.ids.find((id) => id !== leading && id !== away) ?? ""
    await until("it is believed", async () => {
      const term = await termOf(last)
      if (term >= 2 ** 32) return true
      const huge = forgeries(term)["a term that uses up many"]
      if (huge === undefined) throw new Error("no such message")
      const forged = await pose(leading, last, huge)
      await within(500, forged.over)
      forged.socket.destroy()
      return false
    })
  }))
