/** What operators write: settings, users, addresses, keys of sessions. */
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { addressText, parseAddress } from "../../../interpreters/tcp/socket.ts"
import { isMemberName } from "../../../interpreters/text.ts"
import { clientsOf, leaderEndpointOf, parseEndpoint, parseStatus, showEndpoint } from "../../../kv/client/endpoints.ts"
import { decodeConfig, settingNames, variableOf, type ConfigSources, type NodeConfig } from "../../../kv/node/config.ts"
import { InvalidConfig } from "../../../kv/node/errors.ts"
import { parseUsers } from "../../../kv/server/users/file.ts"
import { parseHash } from "../../../kv/server/users/hash.ts"
import { parseSessionKey, showSessionKey } from "../../../kv/sessionKey.ts"
import { must, told, type Parser } from "../parser.ts"

const text = (...lines: readonly string[]): Buffer => Buffer.from(lines.join("\n"))

export const decoded = (sources: ConfigSources): NodeConfig | null => {
  const result: NodeConfig | InvalidConfig = Effect.runSync(
    decodeConfig(sources).pipe(Effect.match({ onFailure: (error) => error, onSuccess: (config) => config })),
  )
  return result instanceof InvalidConfig ? null : result
}
const folders: string[] = []
export const fileFor = (content: string): string => {
  folders[0] ??= mkdtempSync(join(tmpdir(), "stepraft-fuzz-"))
  const file = join(folders[0], "settings.json")
  writeFileSync(file, content)
  return file
}
/** Lines NAME=value are the environment; the rest is the file. */
const checkConfig = (input: Buffer): void => {
  const lines = input.toString("utf8").split("\n")
  const isVariable = (line: string): boolean => /^STEPRAFT_\w*=/.test(line)
  const env = Object.fromEntries(
    lines
      .filter(isVariable)
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)] as const),
  )
  const content = lines.filter((line) => !isVariable(line)).join("\n")
  const config = decoded({ flags: {}, env, file: fileFor(content) })
  if (config === null) return
  const given = JSON.parse(content) as Readonly<Record<string, unknown>>
  must(
    Object.keys(given).every((name) => settingNames.some((one) => one === name)),
    "an unknown setting was passed over",
  )
  must(isMemberName(config.id), "a name that no member has")
  must(Object.keys(config.peers).every(isMemberName), "a peer of a name that no member has")
  must(Object.getPrototypeOf(config.peers) === Object.prototype, "a peer that is none")
  const { heartbeat, electionMin, electionMax } = config.settings
  must(heartbeat >= 1 && electionMin >= 2 * heartbeat && electionMax >= electionMin, "times with which nobody can lead")
  // What the file says can be said by variables.
  const words = Object.entries(given).filter(([, value]) => typeof value === "string" || typeof value === "number")
  if (words.length < Object.keys(given).length) return
  const variables = settingNames.flatMap((name) =>
    Object.hasOwn(given, name) ? [[variableOf(name), String(given[name])] as const] : [],
  )
  const again = decoded({ flags: {}, env: { ...Object.fromEntries(variables), ...env } })
  must(told(again) === told(config), "by variables they are other settings")
}

const HASH = `scrypt:16384:8:1:${"A".repeat(22)}:${"B".repeat(43)}`
const checkUsers = (input: Buffer): void => {
  const users = parseUsers(input.toString("utf8"))
  if (typeof users === "string") {
    must(/^line \d+: .|^no user/.test(users), "it does not say what is wrong")
    return
  }
  const lines = input.toString("utf8").split("\n")
  const said = lines.filter((line) => line.replace(/(?:^|\s)#.*$/, "").trim() !== "")
  must(said.length === users.size, "a line was passed over")
  for (const { name, password } of users.values()) {
    must(/^[!-~]{1,128}$/.test(name), "a name that cannot be said")
    const kept = password === "nopass" || password === "-" ? null : parseHash(password)
    must(kept === null || 128 * kept.N * kept.r <= 2 ** 26, "a password that takes too much memory")
  }
  const again = [...users.values()].map(({ name, role, password }) => `${name} ${role} ${password}`).join("\n")
  must(told(parseUsers(again)) === told(users), "written again they are other users")
}

const checkAddress = (input: Buffer): void => {
  const word = input.toString("utf8")
  const address = parseAddress(word)
  if (address !== null) {
    must(told(parseAddress(addressText(address))) === told(address), "written again it is another address")
    must(address.port <= 65_535 && address.host !== "", "an address that nobody can dial")
  }
  const endpoint = parseEndpoint(word)
  if (endpoint !== null) {
    must(told(parseEndpoint(showEndpoint(endpoint))) === told(endpoint), "written again it is another endpoint")
    if (address !== null && !/[/@]/.test(word))
      must(told(endpoint) === told(address), "a node and a client read an address differently")
  }
  const key = parseSessionKey(word)
  if (key !== null) must(showSessionKey(key) === word, "written again it is another key")
  const status = parseStatus(word)
  if (status !== null) {
    clientsOf(status)
    leaderEndpointOf(status)
  }
}

const CONFIG = "kv/node/config.ts"
const USERS = "kv/server/users/file.ts"
const SOCKET = "interpreters/tcp/socket.ts"
const ENDPOINTS = "kv/client/endpoints.ts"
const KEY = "kv/sessionKey.ts"
const minimal = { id: "n1", data: "./n1", client: "127.0.0.1:7001", peer: "127.0.0.1:8001" }
export const parsers: readonly Parser[] = [
  {
    name: "settings",
    about: "settings of a node from file and environment: refused by name, or whole and the same from either",
    files: [CONFIG, "kv/node/security.ts"],
    seeds: () => [
      text(
        JSON.stringify({
          ...minimal,
          peers: "n1=127.0.0.1:8001,n2=127.0.0.1:8002",
          heartbeat: 50,
          electionMin: 150,
          electionMax: 300,
        }),
      ),
      text(
        JSON.stringify({
          ...minimal,
          peers: { n2: "[::1]:8002" },
          bootstrap: true,
          redirect: "yes",
          maxClients: 10,
          clientMemory: 10 ** 9,
        }),
      ),
      text(
        "STEPRAFT_ID=n2",
        "STEPRAFT_HEARTBEAT=40",
        JSON.stringify({
          ...minimal,
          advertise: "example.org:7001",
          advertisePeer: "none",
          http: "127.0.0.1:9001",
          logFormat: "json",
          logLevel: "debug",
        }),
      ),
      text(
        JSON.stringify({
          ...minimal,
          lowWater: 100,
          highWater: 200,
          users: "users.txt",
          autopilotVoters: 3,
          autopilotAfter: 100,
          tlsCert: "a.pem",
          tlsKey: "a.key",
          tlsCa: "ca.pem",
          tlsAuthClients: "optional",
        }),
      ),
      text("STEPRAFT_HEARTBEATS=40", "{}"),
      text(JSON.stringify({ ...minimal, trace: "t", electionMin: 1000, electionMax: 1000 })),
    ],
    words: ['"constructor"', '"toString"', '"a b"'],
    check: checkConfig,
    work: { least: 1_000_000, each: 5_000 },
    faults: [
      {
        id: "fuzz-settings-1",
        title: "a peer may be called as what every object has",
        patches: [{ file: CONFIG, find: "parsed === null || !isMemberName(name)", replace: "parsed === null" }],
      },
      {
        id: "fuzz-settings-2",
        title: "what every object has is taken for a setting",
        patches: [
          { file: CONFIG, find: "if (Object.hasOwn(fields, key)) continue", replace: "if (key in fields) continue" },
        ],
      },
      {
        id: "fuzz-settings-3",
        title: "a node may have a name that no member has",
        patches: [{ file: CONFIG, find: "Schema.makeFilter(isMemberName,", replace: "Schema.makeFilter(() => true," }],
      },
    ],
  },
  {
    name: "users",
    about: "the file of users: refused by line, or the same when written again, and nothing costs too much to check",
    files: [USERS, "kv/server/users/hash.ts", "kv/server/users/roles.ts"],
    seeds: () => [
      text("# users", `alice admin ${HASH}`, "bob read nopass # guest", "carol write -", ""),
      text("default admin nopass"),
      text(`root admin scrypt:65536:8:2:${"a".repeat(22)}:${"b".repeat(43)}`),
    ],
    check: checkUsers,
    faults: [
      {
        id: "fuzz-users-1",
        title: "a user may stand there twice",
        patches: [{ file: USERS, find: "if (users.has(name)) return", replace: "if (users.size > 999) return" }],
      },
      {
        id: "fuzz-users-2",
        title: "a name may be anything",
        patches: [{ file: USERS, find: "if (!NAME.test(name)) return", replace: 'if (name === "") return' }],
      },
      {
        id: "fuzz-users-3",
        title: "the memory of a check is not bounded",
        patches: [
          {
            file: "kv/server/users/hash.ts",
            find: "return fits && 128 * found.N * found.r <= MOST",
            replace: "return fits",
          },
        ],
      },
    ],
  },
  {
    name: "addresses",
    about:
      "addresses of members and endpoints, keys of sessions, status: the same when written again, and read alike by node and client",
    files: [SOCKET, ENDPOINTS, KEY, "kv/client/access.ts"],
    seeds: () => [
      ...[
        "127.0.0.1:7001",
        "[::1]:8002",
        "example.org:65535",
        ":7001",
        "7001",
        "rediss://alice:secret@example.org:7001/",
      ].map((word) => text(word)),
      text(`17-${"0123456789abcdef".repeat(2)}`),
      text(
        JSON.stringify({
          id: "n1",
          role: "leader",
          leader: "n2",
          peers: [
            { id: "n2", client: "127.0.0.1:7002" },
            { id: "n3", client: null },
          ],
        }),
      ),
    ],
    check: checkAddress,
    faults: [
      {
        id: "fuzz-addresses-1",
        title: "the key of a session may begin with zeros",
        patches: [{ file: KEY, find: "(0|[1-9]\\\\d{0,14})", replace: "(\\\\d{1,15})" }],
      },
      {
        id: "fuzz-addresses-2",
        title: "a peer in a status is not looked at",
        patches: [
          { file: ENDPOINTS, find: "      !value.peers.every(isPeer)\n", replace: "      value.peers.length > 99\n" },
        ],
      },
      {
        id: "fuzz-addresses-3",
        title: "an address is written without its brackets",
        patches: [
          {
            file: SOCKET,
            find: 'address.host.includes(":") ? `[${address.host}]` : address.host',
            replace: "address.host",
          },
        ],
      },
    ],
  },
]
