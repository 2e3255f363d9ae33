/**
 * Builds what runs on the storage, the transport and the state machine of a node: the driver, the service, and the gate
 * for clients.
 */
import { randomInt } from "node:crypto"
import { configurationOf } from "../../core/index.ts"
import { driverFrom, type DriverOptions } from "../../interpreters/driver/index.ts"
import type { Logger } from "../../interpreters/log.ts"
import { makeMembers, type RunningMembers } from "../../interpreters/members/index.ts"
import { isAmnesiac, NodeFailed, type ServerParts, type Built, type Foundation } from "../../interpreters/node/index.ts"
import { realSurroundings } from "../../interpreters/surroundings.ts"
import { NODE_OWNER, type KvMachine } from "../machine/index.ts"
import { makeService } from "../service/index.ts"
import type { NodeStatus } from "../types.ts"
import { makeBackups, type RunningBackups } from "./backups.ts"
import type { NodeConfig } from "./config.ts"
import type { Gate } from "./gate.ts"
import { keepScrubbed } from "./scrubbing.ts"

const WATCH_MS = 100

interface Serving {
  readonly config: NodeConfig
  /** Where other members find this node, as host:port; empty: they use their own lists. */
  readonly advertise: string
  readonly journal: DriverOptions["journal"]
  readonly trace: DriverOptions["trace"] | null
  readonly alive: ServerParts
  readonly gate: Gate
  readonly log: Logger
  readonly status: () => NodeStatus
  readonly setMembers: (members: RunningMembers | null) => void
  readonly setBackups: (backups: RunningBackups | null) => void
  readonly failed: (error: NodeFailed) => void
}

/** The driver, the service on it, and the gate that opens for clients once this node is a member. */
export const build = (
  { config, advertise, journal, trace, alive, gate, log, status, setMembers, setBackups, failed }: Serving,
  { storage, transport, machine, position, features }: Foundation<KvMachine>,
): Built & { readonly machine: KvMachine } => {
  const { self } = storage.identity
  const driver = driverFrom({
    self,
    settings: config.settings,
    storage,
    transport,
    machine,
    position,
    random: () => randomInt(2 ** 32) / 2 ** 32,
    onFatal: (cause) => {
      alive.failed = cause.message
      failed(new NodeFailed({ node: config.id, cause }))
    },
    report: (text) => log("warn", text),
    ...(journal === undefined ? {} : { journal }),
    ...(trace == null ? {} : { trace }),
  })
  const service = makeService({
    driver,
    machine,
    owner: `${NODE_OWNER}${self.name}:${self.incarnation}`,
    settings: config.service,
    status,
    leader: gate.leader,
    log: (message) => log("error", message),
  })
  const members = makeMembers({
    driver,
    transport,
    surroundings: realSurroundings,
    address: advertise === "" ? null : advertise,
    cluster: () => storage.identity.cluster,
    report: (text) => log("info", text),
    autopilot: config.autopilot,
    features,
  })
  setMembers(members)
  const backups = makeBackups({
    machine,
    cluster: () => storage.identity.cluster,
    node: config.id,
    voters: () => configurationOf(driver.state()).voters.map(({ name }) => name),
    surroundings: realSurroundings,
  })
  setBackups(backups)
  const stopScrubbing = keepScrubbed(machine, log)
  // An amnesiac serves no client until a configuration names it.
  const openGate = (): void => {
    if (isAmnesiac(driver.state()) || alive.refused !== null) return
    clearInterval(watching)
    gate.open(service)
  }
  const watching = setInterval(openGate, WATCH_MS)
  openGate()
  driver.start()
  return {
    driver,
    machine,
    members,
    counters: service.counters,
    withdraw: () => {
      setMembers(null)
      setBackups(null)
      members.stop()
      backups.stop()
      driver.abandon()
      service.stop()
      gate.shut()
    },
    stop: async () => {
      clearInterval(watching)
      stopScrubbing()
      setMembers(null)
      setBackups(null)
      members.stop()
      backups.stop()
      await driver.stop()
      service.stop()
      gate.shut()
    },
  }
}
