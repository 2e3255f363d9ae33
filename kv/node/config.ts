/**
 * The configuration of a node: from flags, the environment (STEPRAFT_*) and a JSON file; the first of these that names
 * a setting takes precedence. Durations are milliseconds, sizes bytes.
 */
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { defaultSettings, type Settings } from "../../core/index.ts"
import { ADDRESS, addressText, parseAddress, type Address } from "../../interpreters/tcp/index.ts"
import { leastAfter, leastVoters, type Autopilot } from "../../interpreters/members/index.ts"
import { isMemberName } from "../../interpreters/text.ts"
import type { Limits } from "../server/index.ts"
import { defaultServiceSettings, type ServiceSettings } from "../service/index.ts"
import { InvalidConfig } from "./errors.ts"
import { securityOf, type Security } from "./security.ts"
import type { LogLevel } from "../../interpreters/log.ts"

const Whole = Schema.Union([Schema.Int, Schema.FiniteFromString.pipe(Schema.check(Schema.isInt()))]).pipe(
  Schema.check(Schema.isGreaterThanOrEqualTo(1, { expected: "a whole number above 0" })),
)
/** The longest time that a timer supports. */
const Millis = Whole.pipe(Schema.check(Schema.isLessThanOrEqualTo(2 ** 31 - 1, { expected: "at most 2147483647 ms" })))
const Switch = Schema.Union([Schema.Boolean, Schema.Literals(["true", "false", "yes", "no", "1", "0"])])
const Name = Schema.String.pipe(
  Schema.check(
    Schema.makeFilter(isMemberName, { expected: "a name of letters, digits, dots, dashes and underscores" }),
  ),
)
const WILDCARD: ReadonlySet<string> = new Set(["0.0.0.0", "::"])
const HostPort = Schema.String.pipe(Schema.check(Schema.isPattern(ADDRESS, { expected: "an address as host:port" })))
const Peers = Schema.Union([Schema.String, Schema.Record(Schema.String, Schema.String)])

const fields = {
  id: Name,
  data: Schema.NonEmptyString,
  client: HostPort,
  peer: HostPort,
  http: Schema.optionalKey(HostPort),
  advertise: Schema.optionalKey(HostPort),
  advertisePeer: Schema.optionalKey(Schema.Union([HostPort, Schema.Literals(["none"])])),
  peers: Schema.optionalKey(Peers),
  redirect: Schema.optionalKey(Switch),
  bootstrap: Schema.optionalKey(Switch),
  logFormat: Schema.optionalKey(Schema.Literals(["text", "json"])),
  logLevel: Schema.optionalKey(Schema.Literals(["debug", "info", "warn", "error"])),
  heartbeat: Schema.optionalKey(Millis),
  electionMin: Schema.optionalKey(Millis),
  electionMax: Schema.optionalKey(Millis),
  disconnectMax: Schema.optionalKey(Millis),
  diskStallTimeout: Schema.optionalKey(Millis),
  maxEntryBytes: Schema.optionalKey(Whole),
  maxUncommittedBytes: Schema.optionalKey(Whole),
  snapshotBytes: Schema.optionalKey(Whole),
  trailingLogBytes: Schema.optionalKey(Whole),
  segmentBytes: Schema.optionalKey(Whole),
  lowWater: Schema.optionalKey(Whole),
  highWater: Schema.optionalKey(Whole),
  writeTimeout: Schema.optionalKey(Millis),
  readTimeout: Schema.optionalKey(Millis),
  sessionIdle: Schema.optionalKey(Whole),
  maxClients: Schema.optionalKey(Whole),
  clientIdleTimeout: Schema.optionalKey(Millis),
  clientMemory: Schema.optionalKey(Whole),
  tlsCert: Schema.optionalKey(Schema.NonEmptyString),
  tlsKey: Schema.optionalKey(Schema.NonEmptyString),
  tlsCa: Schema.optionalKey(Schema.NonEmptyString),
  tlsAuthClients: Schema.optionalKey(Schema.Literals(["no", "optional", "yes"])),
  plaintext: Schema.optionalKey(Schema.String),
  trace: Schema.optionalKey(Schema.NonEmptyString),
  autopilotVoters: Schema.optionalKey(Whole),
  autopilotAfter: Schema.optionalKey(Millis),
  autopilotLeast: Schema.optionalKey(Whole),
  users: Schema.optionalKey(Schema.NonEmptyString),
  maxClientsPerAddress: Schema.optionalKey(Whole),
  maxHandshakes: Schema.optionalKey(Whole),
  maxUnauthenticated: Schema.optionalKey(Whole),
  maxFailedLogins: Schema.optionalKey(Whole),
  maxPipeline: Schema.optionalKey(Whole),
  clientStallTimeout: Schema.optionalKey(Millis),
  featureLevelMax: Schema.optionalKey(Whole),
}
const Given = Schema.Struct(fields)
export type Setting = keyof typeof fields
export const settingNames = Object.keys(fields) as readonly Setting[]

export interface NodeConfig {
  readonly id: string
  readonly dataDir: string
  /** The addresses for clients and for peers. */
  readonly client: Address
  readonly peer: Address
  /** The address of /metrics, /livez and /readyz; null: none. */
  readonly http: Address | null
  /** The address that clients are told for this node; null: the one at which it listens. */
  readonly advertise: Address | null
  /**
   * The address that other members are told for this node, as host:port; null: the one at which it listens; empty: they
   * use their own lists.
   */
  readonly advertisePeer: string | null
  /** The other members in the list, by name. */
  readonly peers: Readonly<Record<string, Address>>
  readonly redirect: boolean
  readonly bootstrap: boolean
  readonly logJson: boolean
  readonly logLevel: LogLevel
  readonly settings: Settings
  readonly service: Partial<ServiceSettings>
  readonly space: { readonly lowWater: number; readonly highWater: number } | null
  readonly segmentBytes: number | null
  readonly sessionIdle: number | null
  /** Limit on client connections; lower if there are not enough file descriptors. null: the server's default. */
  readonly maxClients: number | null
  /** Clients that send nothing for this long are disconnected; null: never. */
  readonly clientIdleTimeout: number | null
  /**
   * Limit on the memory for all clients together, in bytes; null: a quarter of the memory that this process may use.
   */
  readonly clientMemory: number | null
  readonly security: Security
  /** What it does about members automatically while it leads; null: nothing. */
  readonly autopilot: Autopilot | null
  /** File for the trace of writes; null: none. */
  readonly trace: string | null
  /** Further limits for clients, if they were given. */
  readonly limits: Partial<Limits>
  /** How many wrong passwords an address may give within a minute; null: the default. */
  readonly maxFailedLogins: number | null
  /** The node does no higher feature level, so its cluster does not rise above it; null: all that its version can. */
  readonly featureLevelMax: number | null
}

/** The environment variable of a setting: electionMin is STEPRAFT_ELECTION_MIN. */
export const variableOf = (setting: Setting): string =>
  `STEPRAFT_${setting.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
export const flagOf = (setting: Setting): string =>
  `--${setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

export interface ConfigSources {
  /** As parsed by the command line; undefined where a flag was not given. */
  readonly flags: Readonly<Partial<Record<Setting, unknown>>>
  readonly env?: Readonly<Record<string, string | undefined>>
  /** A JSON object of settings. */
  readonly file?: string
}

const readFile = (path: string): Readonly<Record<string, unknown>> => {
  const wrong = (found: string, reason: string): InvalidConfig =>
    new InvalidConfig({ field: "the configuration file", source: path, found, reason })
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (error) {
    throw wrong("unreadable", error instanceof Error ? error.message : String(error))
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw wrong("not JSON", error instanceof Error ? error.message : String(error))
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong(JSON.stringify(value), "it must be an object of settings")
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(fields, key)) continue
    const near = nearest(key, settingNames)
    throw new InvalidConfig({
      field: key,
      source: path,
      found: "unknown",
      reason: near === null ? `the settings are ${settingNames.join(", ")}` : `did you mean ${near}?`,
    })
  }
  return value as Readonly<Record<string, unknown>>
}

/**
 * The smallest number of letters that must be changed, left out, inserted or swapped to turn one word into the other.
 */
const distance = (from: string, to: string): number => {
  let before: number[] = []
  let row = Array.from({ length: to.length + 1 }, (_, j) => j)
  for (let i = 1; i <= from.length; i++) {
    const last = row
    row = [i]
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1]
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      row.push(
        Math.min(
          (last[j] ?? 0) + 1,
          (row[j - 1] ?? 0) + 1,
          (last[j - 1] ?? 0) + (same ? 0 : 1),
          swapped ? (before[j - 2] ?? 0) + 1 : Infinity,
        ),
      )
    }
    before = last
  }
  return row[to.length] ?? 0
}
/** The name that was probably meant; null if none is similar. */
const nearest = (word: string, names: readonly string[]): string | null => {
  const plain = (name: string): string => name.toLowerCase().replaceAll(/[_-]/g, "")
  const [best] = names
    .map((name) => ({ name, far: distance(plain(word), plain(name)) }))
    .toSorted((a, b) => a.far - b.far)
  return best !== undefined && best.far <= Math.max(1, Math.floor(plain(word).length / 4)) ? best.name : null
}

const PREFIX = "STEPRAFT_"
/** Variables that are no settings but belong to this program: how a node is run, and what clients and tests use. */
const OTHERS: ReadonlySet<string> = new Set(
  [
    "STOP_WITH_STDIN",
    "LOCK",
    "LOCK_TOKEN",
    "ALL",
    "SOAK",
    "KEEP",
    "GOLDEN",
    "TEST_CLOCKS",
    "TLS",
    "USER",
    "PASSWORD",
  ].map((name) => `${PREFIX}${name}`),
)
const unknownVariables = (env: Readonly<Record<string, string | undefined>>): readonly string[] => {
  const known = new Set(settingNames.map(variableOf))
  return Object.keys(env).filter((name) => name.startsWith(PREFIX) && !known.has(name) && !OTHERS.has(name))
}
/**
 * A variable that is similar to a setting was meant to be one: a node that starts without it would not be the one that
 * was asked for.
 */
const refuseMisspelt = (env: Readonly<Record<string, string | undefined>>): void => {
  for (const name of unknownVariables(env)) {
    const near = nearest(name.slice(PREFIX.length), settingNames)
    if (near !== null)
      throw new InvalidConfig({
        field: name,
        source: "the environment",
        found: "unknown",
        reason: `did you mean ${variableOf(near as Setting)}?`,
      })
  }
}
/**
 * Other variables may belong to something else (a container platform makes STEPRAFT_PORT for a service of that name): a
 * line for the log, or null.
 */
export const strangeVariables = (env: Readonly<Record<string, string | undefined>> = process.env): string | null => {
  const found = unknownVariables(env)
  return found.length === 0 ? null : `${found.join(", ")} in the environment: not a setting of a node, so ignored`
}

/** For the log: what was meant for a node's users, perhaps, but is read by clients alone; null: nothing. */
export const clientVariables = (env: Readonly<Record<string, string | undefined>> = process.env): string | null => {
  const found = [`${PREFIX}USER`, `${PREFIX}PASSWORD`].filter((name) => env[name] !== undefined)
  return found.length === 0
    ? null
    : `${found.join(", ")} in the environment: clients log in with that, and a node does not read it; its users stand in the file of ${flagOf("users")} (${variableOf("users")})`
}
/** With this a client speaks TLS. Whoever gives it to a node expects that the node does. */
const SPEAKS_TLS = `${PREFIX}TLS`
const ON: ReadonlySet<string | undefined> = new Set(["1", "true", "yes"])
const requireTlsIfAsked = ({ tls, plaintext }: Security, { env = process.env }: ConfigSources): void => {
  if (!ON.has(env[SPEAKS_TLS]) || (tls !== null && !plaintext.includes("clients"))) return
  throw new InvalidConfig({
    field: SPEAKS_TLS,
    source: "the environment",
    found: JSON.stringify(env[SPEAKS_TLS]),
    reason: `clients read that, and this node would serve them in the clear. Give it certificates (${flagOf("tlsCert")}, ${flagOf("tlsKey")}, ${flagOf("tlsCa")}; stepraft cert makes them) and no ${flagOf("plaintext")} clients, or start it without ${SPEAKS_TLS}`,
  })
}

const gather = ({
  flags,
  env = process.env,
  file,
}: ConfigSources): Map<Setting, { readonly value: unknown; readonly source: string }> => {
  refuseMisspelt(env)
  const fromFile = file === undefined ? {} : readFile(file)
  const found = new Map<Setting, { readonly value: unknown; readonly source: string }>()
  for (const setting of settingNames) {
    const variable = variableOf(setting)
    // A switch that was not given is false: then the next source is asked.
    if (flags[setting] !== undefined && flags[setting] !== null && flags[setting] !== false)
      found.set(setting, { value: flags[setting], source: flagOf(setting) })
    else if (env[variable] !== undefined) found.set(setting, { value: env[variable], source: variable })
    else if (fromFile[setting] !== undefined) found.set(setting, { value: fromFile[setting], source: file ?? "" })
  }
  return found
}

const isOn = (value: typeof Switch.Type | undefined): boolean =>
  value === true || value === "true" || value === "yes" || value === "1"

const decode = (sources: ConfigSources): NodeConfig => {
  const found = gather(sources)
  const invalid = (field: Setting, reason: string): InvalidConfig => {
    const given = found.get(field)
    if (given === undefined)
      return new InvalidConfig({
        field,
        source: `${flagOf(field)}, ${variableOf(field)} or the configuration file`,
        found: "missing",
        reason: "a node cannot run without it",
      })
    return new InvalidConfig({ field, source: given.source, found: JSON.stringify(given.value), reason })
  }
  const decoded = Schema.decodeUnknownResult(Given)(
    Object.fromEntries(Array.from(found, ([setting, { value }]) => [setting, value])),
  )
  if (Result.isFailure(decoded)) {
    const text = decoded.failure.message
    const field = settingNames.find((setting) => text.includes(`["${setting}"]`)) ?? "id"
    throw invalid(field, (text.split("\n")[0] ?? text).trim().replace(/^E/, "e"))
  }
  const given = decoded.success
  const address = (field: "client" | "peer" | "http" | "advertise"): Address => {
    const parsed = parseAddress(given[field] ?? "")
    if (parsed === null) throw invalid(field, "a port is at most 65535")
    return parsed
  }
  const peers: Record<string, Address> = {}
  const listed =
    typeof given.peers === "string"
      ? given.peers.split(",").filter((part) => part.trim() !== "")
      : Object.entries(given.peers ?? {}).map(([name, at]) => `${name}=${at}`)
  for (const part of listed) {
    const at = part.indexOf("=")
    const name = part.slice(0, at).trim()
    const parsed = at < 1 ? null : parseAddress(part.slice(at + 1).trim())
    if (parsed === null || !isMemberName(name))
      throw invalid(
        "peers",
        `${JSON.stringify(part.trim())} is not name=host:port, with a name of letters, digits, dots, dashes and underscores`,
      )
    if (Object.hasOwn(peers, name)) throw invalid("peers", `${name} is listed twice`)
    peers[name] = parsed
  }
  const own = peers[given.id]
  delete peers[given.id]
  const everywhere = WILDCARD.has(address("client").host)
  if (everywhere && own === undefined && given.advertise === undefined)
    throw invalid("client", "other nodes cannot reach it under this address: give one that they can reach as advertise")

  const settings: Settings = {
    ...defaultSettings,
    ...picked(given, [
      "heartbeat",
      "electionMin",
      "electionMax",
      "disconnectMax",
      "diskStallTimeout",
      "maxEntryBytes",
      "maxUncommittedBytes",
      "snapshotBytes",
      "trailingLogBytes",
    ]),
  }
  if (settings.electionMin < 2 * settings.heartbeat)
    throw invalid(
      found.has("electionMin") ? "electionMin" : "heartbeat",
      `electionMin (${settings.electionMin}) must be at least twice heartbeat (${settings.heartbeat}), or followers would depose a healthy leader`,
    )
  if (settings.electionMax < settings.electionMin)
    throw invalid(
      found.has("electionMax") ? "electionMax" : "electionMin",
      `electionMax (${settings.electionMax}) must not be below electionMin (${settings.electionMin})`,
    )
  const service: Partial<ServiceSettings> = {
    maxEntryBytes: settings.maxEntryBytes,
    maxWaitingBytes: Math.max(defaultServiceSettings.maxWaitingBytes, 2 * settings.maxEntryBytes),
    ...picked(given, ["writeTimeout", "readTimeout"]),
  }
  if (given.clientMemory !== undefined && given.clientMemory < 4 * settings.maxEntryBytes)
    throw invalid(
      "clientMemory",
      `it must be at least four times maxEntryBytes (${settings.maxEntryBytes}), or large commands are refused because they do not fit`,
    )
  const autopilot = (): Autopilot | null => {
    const { autopilotVoters: voters, autopilotAfter: after, autopilotLeast: least } = given
    if (voters === undefined) {
      const without = (["autopilotAfter", "autopilotLeast"] as const).find((setting) => given[setting] !== undefined)
      if (without !== undefined)
        throw invalid(without, "it has no effect without autopilotVoters, which turns the autopilot on")
      return null
    }
    if (leastVoters({ voters, ...(least === undefined ? {} : { least }) }) > voters)
      throw invalid("autopilotLeast", `it must not be above autopilotVoters (${voters})`)
    if (after !== undefined && after < leastAfter(settings))
      throw invalid(
        "autopilotAfter",
        `it must be at least ten times electionMax (${leastAfter(settings)}): members that a few elections keep silent are not dead`,
      )
    return { voters, ...(after === undefined ? {} : { after }), ...(least === undefined ? {} : { least }) }
  }
  const space =
    given.lowWater === undefined && given.highWater === undefined
      ? null
      : {
          lowWater: given.lowWater ?? Math.floor((given.highWater ?? 0) / 2),
          highWater: given.highWater ?? 2 * (given.lowWater ?? 0),
        }
  const security = securityOf(
    given,
    { client: address("client"), peer: address("peer"), peers: Object.values(peers) },
    invalid,
  )
  requireTlsIfAsked(security, sources)
  return {
    id: given.id,
    dataDir: given.data,
    client: address("client"),
    peer: address("peer"),
    http: given.http === undefined ? null : address("http"),
    advertise:
      given.advertise !== undefined
        ? address("advertise")
        : everywhere && own !== undefined
          ? { host: own.host, port: address("client").port }
          : null,
    advertisePeer:
      given.advertisePeer === "none"
        ? ""
        : (given.advertisePeer ??
          (own === undefined ? (WILDCARD.has(address("peer").host) ? "" : null) : addressText(own))),
    peers,
    redirect: isOn(given.redirect),
    bootstrap: isOn(given.bootstrap),
    logJson: given.logFormat === "json",
    logLevel: given.logLevel ?? "info",
    settings,
    service,
    space,
    segmentBytes: given.segmentBytes ?? null,
    sessionIdle: given.sessionIdle ?? null,
    maxClients: given.maxClients ?? null,
    clientIdleTimeout: given.clientIdleTimeout ?? null,
    clientMemory: given.clientMemory ?? null,
    maxFailedLogins: given.maxFailedLogins ?? null,
    featureLevelMax: given.featureLevelMax ?? null,
    limits: {
      ...picked(given, ["maxClientsPerAddress", "maxHandshakes", "maxUnauthenticated"]),
      ...(given.maxPipeline === undefined ? {} : { pipelinedCommands: given.maxPipeline }),
      ...(given.clientStallTimeout === undefined ? {} : { stalledMs: given.clientStallTimeout }),
    },
    security,
    autopilot: autopilot(),
    trace: given.trace ?? null,
  }
}

const picked = <K extends Setting>(
  given: Partial<Record<K, number>>,
  names: readonly K[],
): Partial<Record<K, number>> => {
  const out: Partial<Record<K, number>> = {}
  for (const name of names) {
    const value = given[name]
    if (value !== undefined) out[name] = value
  }
  return out
}

/** Fails with the first setting that is wrong, naming it and its source. */
export const decodeConfig = (sources: ConfigSources): Effect.Effect<NodeConfig, InvalidConfig> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(decode(sources))
    } catch (error) {
      return error instanceof InvalidConfig ? Effect.fail(error) : Effect.die(error)
    }
  })
