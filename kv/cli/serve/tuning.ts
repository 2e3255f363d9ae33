/**
 * Settings of a node that are rarely changed, as flags of serve (kv/node/config.ts has their defaults and checks them).
 */
import type { Setting } from "../../node/config.ts"
import { maybeInt } from "../../../interpreters/cli/flags.ts"
import { Flag } from "../../../interpreters/cli/runtime.ts"

const texts = {
  heartbeat: "Milliseconds between a leader's heartbeats",
  electionMin:
    "Shortest time in milliseconds without a leader after which a follower campaigns; at least twice --heartbeat",
  electionMax: "Longest such time in milliseconds; each wait is random between the two",
  disconnectMax: "Longest time in milliseconds until a follower campaigns after the connection to the leader broke",
  diskStallTimeout: "Milliseconds that a leader's disk may stall before it hands over",
  maxEntryBytes: "Bytes of the largest command or transaction",
  maxUncommittedBytes: "Limit on the bytes of commands that are not committed yet",
  snapshotBytes: "Bytes of log after which a snapshot is taken",
  trailingLogBytes: "Bytes of log kept behind a snapshot for slow followers",
  segmentBytes: "Bytes of one file of the log",
  lowWater: "Free bytes below which writes are refused",
  highWater: "Free bytes above which writes are accepted again",
  writeTimeout: "Milliseconds until a write is answered NOLEADER or UNKNOWN",
  readTimeout: "Milliseconds until a read is answered NOLEADER",
  sessionIdle: "Milliseconds after which an unused session expires",
  maxClients: "Limit on client connections (10000); lower if the process has too few file descriptors",
  clientIdleTimeout: "Milliseconds after which an idle client is disconnected (default: never)",
  autopilotVoters:
    "Turns the autopilot on, for this number of voters: the leader replaces voters that are away by waiting learners (default: off)",
  autopilotAfter: "Milliseconds for which a voter has been away before the autopilot replaces it (default: 300000)",
  autopilotLeast: "Voters below which the autopilot never goes (default: a majority of --autopilot-voters)",
  maxClientsPerAddress: "Limit on client connections from one address (5000)",
  maxHandshakes: "Limit on TLS handshakes of clients at a time (1024)",
  maxUnauthenticated: "Limit on client connections that have not logged in, if there are users (2500)",
  maxFailedLogins: "Wrong passwords within a minute after which an address is locked out for a minute (10)",
  maxPipeline: "Limit on unanswered commands of one connection (4096); the rest waits",
  clientStallTimeout: "Milliseconds after which a client that does not read its answers is disconnected (60000)",
  clientMemory:
    "Limit on the memory in bytes for all clients together (default: a quarter of the memory that this process may use)",
  featureLevelMax:
    "The cluster does not rise above this feature level while this node has the flag (default: the level that every member supports)",
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
    Flag.withDescription("Lowest level that is logged (default: info)"),
    Flag.optional,
  ),
}
