/** The settings of a node that few need to touch, as flags of serve (kv/node/config.ts gives their defaults and checks them). */
import type { Setting } from "../node/config.ts"
import { maybeInt } from "../../interpreters/cli/flags.ts"
import { Flag } from "../../interpreters/cli/runtime.ts"

const texts = {
  heartbeat: "Milliseconds between a leader's heartbeats",
  electionMin: "Milliseconds without a leader before a follower may campaign; at least twice --heartbeat",
  electionMax: "Upper end of that range; each wait is random within it",
  disconnectMax: "Milliseconds at most before a follower campaigns after the leader's connection broke",
  diskStallTimeout: "Milliseconds that a leader's disk may stall before it hands over",
  maxEntryBytes: "Bytes of the largest command or transaction",
  maxUncommittedBytes: "Bytes of commands under way at most",
  snapshotBytes: "Bytes of log after which a snapshot is taken",
  trailingLogBytes: "Bytes of log kept behind a snapshot for slow followers",
  segmentBytes: "Bytes of one file of the log",
  lowWater: "Free bytes below which writes are refused",
  highWater: "Free bytes above which they are taken again",
  writeTimeout: "Milliseconds until a write is answered NOLEADER or UNKNOWN",
  readTimeout: "Milliseconds until a read is answered NOLEADER",
  sessionIdle: "Milliseconds after which an unused session expires",
  maxClients: "Connections of clients at most (10000); fewer if the process has too few file descriptors",
  clientIdleTimeout: "Milliseconds after which a client that asks nothing is disconnected (default: never)",
  autopilotVoters:
    "Turns the autopilot on: so many members should vote; the leader replaces those that are away by waiting learners (default: off)",
  autopilotAfter: "Milliseconds for which a voter has been away before the autopilot replaces it (default: 300000)",
  autopilotLeast: "Voters below which the autopilot never goes (default: a majority of --autopilot-voters)",
  maxClientsPerAddress: "Connections of clients from one address at most (5000)",
  maxHandshakes: "TLS handshakes of clients under way at most (1024)",
  maxUnauthenticated: "Connections of clients that have not logged in at most, where there are users (2500)",
  maxFailedLogins: "Wrong passwords from one address within a minute, before it is locked out for one (10)",
  maxPipeline: "Commands of one connection under way at most (4096); the rest waits",
  clientStallTimeout: "Milliseconds after which a client that does not read its answers is disconnected (60000)",
  clientMemory: "Bytes that all clients together may hold (default: a quarter of the memory that this process may use)",
  featureLevelMax:
    "The feature level that the cluster does not rise above while this node says so (default: what every member can do)",
} as const satisfies Partial<Record<Setting, string>>

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
type Numbers = { readonly [K in keyof typeof texts]: ReturnType<typeof maybeInt> }

export const tuningFlags = {
  ...(Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, maybeInt(kebab(name), text)])) as Numbers),
  logFormat: Flag.Literals("log-format", ["text", "json"]).pipe(
    Flag.withDescription("Form of the log (default: text)"),
    Flag.optional,
  ),
  logLevel: Flag.Literals("log-level", ["debug", "info", "warn", "error"]).pipe(
    Flag.withDescription("Least level that is logged (default: info)"),
    Flag.optional,
  ),
}
