import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { describe, expect, test } from "vitest"
import type { Configuration, Member } from "../core/index.ts"
import { readPlainly } from "../kv/cli/serve/direct.ts"
import { decodeConfig, type ConfigSources } from "../kv/node/index.ts"
import { clientVariables, strangeVariables } from "../kv/node/config.ts"
import { clientDoor } from "../kv/node/security.ts"
import { decide, type Peer } from "../interpreters/node/index.ts"
import type { Hello } from "../interpreters/tcp/index.ts"
import { temporaryFolder } from "./cluster.ts"
import { fresh } from "./tcp.nodes.ts"

const least = {
  id: "n1",
  data: "/d",
  client: "127.0.0.1:7001",
  peer: "127.0.0.1:8001",
  peers: "n1=127.0.0.1:8001,n2=[::1]:8002",
}
const decoded = (sources: ConfigSources) => Effect.runPromise(decodeConfig({ env: {}, ...sources }))
const refused = async (sources: ConfigSources) =>
  (await Effect.runPromise(Effect.flip(decodeConfig({ env: {}, ...sources })))).message

describe("configuration", () => {
  test("flags win over the environment, and that over the file", async () => {
    const file = join(temporaryFolder(), "node.json")
    writeFileSync(
      file,
      JSON.stringify({
        heartbeat: 30,
        electionMin: 300,
        electionMax: 700,
        redirect: true,
        peers: { n1: "127.0.0.1:8001", n3: "h:9" },
        plaintext: "peers",
      }),
    )
    const config = await decoded({
      flags: { ...least, peers: null, redirect: false, heartbeat: 10 },
      env: { STEPRAFT_ELECTION_MIN: "200", STEPRAFT_HEARTBEAT: "20" },
      file,
    })
    expect(config.settings).toMatchObject({ heartbeat: 10, electionMin: 200, electionMax: 700 })
    expect(config.redirect).toBe(true)
    expect(config.peers).toEqual({ n3: { host: "h", port: 9 } })
  })
  test("addresses may be IPv6, and the node itself may stand in the list", async () => {
    expect((await decoded({ flags: least })).peers).toEqual({ n2: { host: "::1", port: 8002 } })
  })
  test("a node that listens everywhere is found where its peers find it, unless it says otherwise", async () => {
    const flags = { ...least, client: "0.0.0.0:7001", peers: "n1=db1:8001", plaintext: "clients" }
    expect((await decoded({ flags })).advertise).toEqual({ host: "db1", port: 7001 })
    expect((await decoded({ flags: { ...least, advertise: "public:1" } })).advertise).toEqual({
      host: "public",
      port: 1,
    })
    expect(await refused({ flags: { ...least, client: "0.0.0.0:7001", peers: "n2=db2:8001" } })).toContain("advertise")
  })
  test.each([
    ["a missing one", { ...least, id: undefined }, {}, ["id", "missing", "--id", "STEPRAFT_ID"]],
    [
      "an address without a port",
      { ...least, client: "localhost" },
      {},
      ["client", "--client", '"localhost"', "host:port"],
    ],
    ["a port too high", { ...least, peer: "h:70000" }, {}, ["peer", "65535"]],
    ["a peer without a name", { ...least, peers: "n1=h:1,h:2" }, {}, ["peers", "h:2", "name=host:port"]],
    ["a peer listed twice", { ...least, peers: "n2=h:1,n2=h:2" }, {}, ["peers", "twice"]],
    [
      "a number that is none",
      least,
      { STEPRAFT_HEARTBEAT: "fast" },
      ["heartbeat", "STEPRAFT_HEARTBEAT", '"fast"', "number"],
    ],
    [
      "an autopilot that takes an election for a death",
      { ...least, autopilotVoters: 3, autopilotAfter: 9999 },
      {},
      ["autopilotAfter", "--autopilot-after", "9999", "ten times electionMax (10000)"],
    ],
    [
      "memory for clients that holds no large command",
      { ...least, clientMemory: 1_000_000 },
      {},
      ["clientMemory", "--client-memory", "1000000", "four times maxEntryBytes"],
    ],
    [
      "a time that no timer can wait for",
      { ...least, electionMax: 3_000_000_000 },
      {},
      ["electionMax", "--election-max", "3000000000", "2147483647"],
    ],
    [
      "a variable that is nearly one",
      least,
      { STEPRAFT_HEARTBAET: "20" },
      ["STEPRAFT_HEARTBAET", "unknown", "did you mean STEPRAFT_HEARTBEAT?"],
    ],
    [
      "a port for peers that others reach",
      { ...least, peer: "10.0.0.1:8001" },
      {},
      ["peer", "10.0.0.1:8001", "destroy the cluster", "--tls-cert", "--plaintext peers"],
    ],
    [
      "a peer elsewhere",
      { ...least, peers: "n1=127.0.0.1:8001,n2=db2:8001", plaintext: "clients" },
      {},
      ["db2:8001", "--plaintext peers"],
    ],
    [
      "a port for clients that others reach",
      { ...least, client: "10.0.0.1:7001" },
      {},
      ["client", "passwords too", "--plaintext clients"],
    ],
    ["a certificate without its key", { ...least, tlsCert: "a.crt", tlsCa: "ca.crt" }, {}, ["tlsKey", "missing"]],
    ["a port that there is not", { ...least, plaintext: "peers,all" }, {}, ["plaintext", '"all" is not one of peers']],
    ["times that cannot work", least, { STEPRAFT_ELECTION_MIN: "150" }, ["electionMin", "twice heartbeat"]],
  ])("%s is named with where it was given", async (_, flags, env, parts) => {
    const message = await refused({ flags, env })
    for (const part of parts) expect(message).toContain(part)
  })
  test("a file that is not there, no JSON, or holds what is no setting", async () => {
    const file = join(temporaryFolder(), "node.json")
    expect(await refused({ flags: least, file })).toContain(file)
    writeFileSync(file, "{")
    expect(await refused({ flags: least, file })).toContain("not JSON")
    writeFileSync(file, '{"hartbeat": 1}')
    expect(await refused({ flags: least, file })).toContain("did you mean heartbeat?")
    writeFileSync(file, '{"colour": 1}')
    expect(await refused({ flags: least, file })).toContain("the settings are id, data")
  })
  test("a variable that is nothing like a setting may be somebody else's: it is named, and that is all", async () => {
    const env = {
      STEPRAFT_PORT: "tcp://10.0.0.1:6379",
      STEPRAFT_SERVICE_HOST: "10.0.0.1",
      STEPRAFT_HEARTBEAT: "20",
      OTHER: "1",
    }
    expect((await decoded({ flags: least, env })).settings.heartbeat).toBe(20)
    expect(strangeVariables(env)).toMatch(/^STEPRAFT_PORT, STEPRAFT_SERVICE_HOST in the environment/)
    expect(strangeVariables({ STEPRAFT_HEARTBEAT: "20" })).toBeNull()
  })
  test("what clients read in the environment makes no node: TLS that was expected is refused, a user and a password are named", async () => {
    const env = { STEPRAFT_TLS: "1", STEPRAFT_USER: "ann", STEPRAFT_PASSWORD: "secret" }
    const said = clientVariables(env)
    expect(said).toMatch(/^STEPRAFT_USER, STEPRAFT_PASSWORD in the environment: .* a node does not read it; .*--users/)
    expect(said).not.toMatch(/ann|secret/)
    expect(clientVariables({ STEPRAFT_TLS: "1" })).toBeNull()
    const tls = { tlsCert: "n1.crt", tlsKey: "n1.key", tlsCa: "ca.crt" }
    for (const clear of [least, { ...least, ...tls, plaintext: "clients" }])
      expect(await refused({ flags: clear, env })).toMatch(
        /^STEPRAFT_TLS \(given by the environment\) is "1": clients read that, and this node would serve them in the clear/,
      )
    const { security } = await decoded({ flags: { ...least, ...tls, users: "users" }, env })
    expect(clientDoor(security, 3)).toBe("the port for clients: with TLS, a certificate is optional; 3 users")
    const open = await decoded({ flags: least, env: { ...env, STEPRAFT_TLS: "0" } })
    expect(clientDoor(open.security, null)).toBe(
      "the port for clients: in the clear; no file of users, so whoever comes in is an administrator",
    )
  })
})

describe("forming", () => {
  const [a, b, c] = ["a", "b", "c"].map((name): Member => ({ name, incarnation: `${name}1` })) as [
    Member,
    Member,
    Member,
  ]
  const founding: Configuration = { voters: [a, b, c], outgoing: [], learners: [] }
  const peer = (member: Member, hello: Partial<Hello> = {}, connected = true): Peer => ({
    name: member.name,
    connected,
    hello: { ...fresh, member, target: "", listens: "", advertises: "", dials: "", ...hello },
  })
  test("the first by name founds, once all are connected and empty", () => {
    expect(decide(a, [peer(c), peer(b)])).toEqual({ type: "found", founding })
    expect(decide(b, [peer(c), peer(a)])).toEqual({ type: "wait", for: ["a"] })
    expect(decide(a, [peer(b), peer(c, {}, false)])).toEqual({ type: "wait", for: ["c"] })
    expect(decide(a, [peer(b), { name: "c", connected: false, hello: null }])).toEqual({ type: "wait", for: ["c"] })
  })
  test("a node that is named takes the founding over, even if its founder is gone again", () => {
    expect(decide(b, [peer(a, { cluster: "x", founding, empty: false }, false), peer(c)])).toEqual({
      type: "adopt",
      cluster: "x",
      founding,
    })
  })
  test("another incarnation is not named: it has lost its disk", () => {
    const again = { ...b, incarnation: "b2" }
    expect(decide(again, [peer(a, { cluster: "x", founding, empty: false }), peer(c)])).toEqual({
      type: "amnesiac",
      cluster: "x",
      of: "a",
    })
    expect(
      decide(again, [
        peer(a, { cluster: "x", founding: { voters: [], outgoing: [], learners: [] }, empty: false }),
        peer(c),
      ]),
      "an amnesiac cannot say",
    ).toEqual({ type: "wait", for: ["a"] })
  })
})

test("serve as supervisors type it is read as its command line would be; what is of another form is left to that", async () => {
  const given = "--id n1 --data d --client 127.0.0.1:7001 --peer 127.0.0.1:8001 --bootstrap --heartbeat 70"
  const read = (text: string): ConfigSources | null => readPlainly(text.split(" "))
  expect(read(`${given} --config c.json`)).toEqual({
    flags: { id: "n1", data: "d", client: "127.0.0.1:7001", peer: "127.0.0.1:8001", bootstrap: true, heartbeat: "70" },
    file: "c.json",
  })
  const { flags } = read(given) ?? { flags: {} }
  expect(await decoded({ flags })).toEqual(await decoded({ flags: { ...flags, heartbeat: 70 } }))
  for (const other of [
    "n1",
    "--id",
    "--id=n2",
    "--id n2 --id n3",
    "--bootstrap --bootstrap",
    "--redirect true",
    "--data --id n2",
    "--heartbeat 7e1",
    "--heartbeat -70",
    "--heartbeat ",
    "--config c --config d",
    "--nothing x",
    "--version",
  ])
    expect(read(other), other).toBeNull()
})
