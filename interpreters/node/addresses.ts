/**
 * Where members are found. The list with which a server was started serves only at first: the configuration carries the
 * addresses that members announce, so every server finds members that join or move, also after a restart, without a
 * change to any list. All known addresses of a member are dialled in turn: the address that it announced last, and then
 * the recorded one.
 */
import {
  configurationOf,
  membersOf,
  sameMember,
  type Addresses,
  type Configuration,
  type Member,
} from "../../core/index.ts"
import type { Stored } from "../contract.ts"
import type { Driver } from "../driver/index.ts"
import { parseAddress, type Address, type PeerHello, type TcpOptions, type TcpTransport } from "../tcp/index.ts"

/** The last configuration in a log. */
export const lastConfigurationIn = ({ base, entries }: Stored): Configuration =>
  entries.findLast((entry) => entry.kind === "configuration")?.configuration ?? base.configuration

type Listed = Readonly<Record<string, Address>>
const placesOf = (texts: readonly (string | undefined)[], listed: Address | undefined): readonly Address[] => {
  const known = [...texts.flatMap((text) => (text === undefined ? [] : [parseAddress(text)])), listed ?? null]
  const keys = new Set<string>()
  return known.filter((at): at is Address => {
    if (at === null || keys.has(`${at.host} ${at.port}`)) return false
    keys.add(`${at.host} ${at.port}`)
    return true
  })
}

/** The addresses that the transport starts with: all that the list or the configuration names. */
export const startingPeers = (self: string, listed: Listed, { addresses = {} }: Configuration): TcpOptions["peers"] => {
  const names = new Set([...Object.keys(listed), ...Object.keys(addresses)])
  names.delete(self)
  return Object.fromEntries(
    [...names]
      .map((name) => [name, placesOf([addresses[name]], listed[name])] as const)
      .filter(([, places]) => places.length > 0),
  )
}

export interface AddressesOptions {
  readonly self: Member
  readonly listed: Listed
  /** Where others find this server, as host:port; empty: they use their own lists. */
  readonly advertise: string
  readonly cluster: () => string | null
  readonly configuration: Configuration
}
export interface KnownAddresses {
  /** May this server, which is on no list, become a peer? Passed to TcpOptions. */
  readonly welcome: (hello: PeerHello) => boolean
  /** Starts to follow members that move. Returns the function that stops it. */
  readonly follow: (transport: TcpTransport) => () => void
  /** Also dial the member at this address; used by Members. */
  readonly reach: (name: string, address: string) => void
  /**
   * From now on the driver reports which configuration is in force, and the leader keeps the addresses in it current.
   * Returns the function that stops this.
   */
  readonly keep: (driver: Pick<Driver, "state" | "change" | "onConfiguration">) => () => void
}

const LOOK_MS = 1000
/**
 * After a removal is committed the leader still has to tell the removed member: until then the link between them must
 * stay open.
 */
const FAREWELL_MS = 5000
/** Each newcomer is dialled until it is a member. If there are too many, the oldest newcomer is given up. */
const MOST_WANTED = 16

export const makeAddresses = ({
  self,
  listed,
  advertise,
  cluster,
  configuration,
}: AddressesOptions): KnownAddresses => {
  let transport: TcpTransport | null = null
  let now = configuration
  /** By name: the address in the member's last hello, and an address that was given for it. */
  const told = new Map<string, string>()
  const wanted = new Map<string, string>()
  /** Names of earlier members, as far as this server knows. */
  const left = new Set<string>()
  /** By name: when the removed member left the configuration. */
  const leaving = new Map<string, number>()

  const apply = (): void => {
    if (transport === null) return
    const members = membersOf(now).map(({ name }) => name)
    const names = new Set([...Object.keys(listed), ...members, ...wanted.keys(), ...leaving.keys()])
    names.delete(self.name)
    for (const name of names) {
      const places = placesOf([wanted.get(name), told.get(name), now.addresses?.[name]], listed[name])
      if (places.length > 0) transport.setPeer(name, places)
    }
    // As long as this server does not know the members of the cluster, it treats every server that claims membership as
    // a member.
    if (members.length > 0)
      for (const { name } of transport.peers()) if (!names.has(name)) transport.setPeer(name, null)
  }
  const reconfigured = (next: Configuration): void => {
    for (const { name } of membersOf(now)) {
      left.add(name)
      leaving.set(name, performance.now())
    }
    now = next
    for (const { name } of membersOf(now)) {
      left.delete(name)
      leaving.delete(name)
      wanted.delete(name)
    }
    apply()
  }

  /** The addresses of the members as they should be in the configuration, or null if they are right already. */
  const corrected = (): Addresses | null => {
    const { addresses = {} } = now
    const right: Record<string, string> = { ...addresses }
    for (const member of membersOf(now)) {
      const link = transport?.peers().find(({ name }) => name === member.name)
      const at = sameMember(member, self)
        ? advertise
        : link?.connected === true && sameMember(link.member, member)
          ? (link.hello?.advertises ?? "")
          : ""
      if (at !== "") right[member.name] = at
    }
    return Object.entries(right).some(([name, at]) => addresses[name] !== at) ? right : null
  }

  return {
    welcome: ({ cluster: theirs, member: { name } }) =>
      theirs !== null && (cluster() === null || cluster() === theirs) && !left.has(name),
    reach: (name, address) => {
      if (wanted.get(name) === address) return
      const [oldest] = wanted.keys()
      if (wanted.size >= MOST_WANTED && oldest !== undefined) wanted.delete(oldest)
      wanted.set(name, address)
      apply()
    },
    follow: (given) => {
      transport = given
      apply()
      return given.onHello(({ member: { name } }) => {
        const link = given.peers().find((peer) => peer.name === name)
        const at = link?.hello?.advertises ?? ""
        if (at === "" || told.get(name) === at) return
        told.set(name, at)
        // An established connection is left alone.
        if (link?.connected !== true) apply()
      })
    },
    keep: (driver) => {
      reconfigured(configurationOf(driver.state()))
      driver.onConfiguration(reconfigured)
      const timer = setInterval(() => {
        const { role, configurations, commitIndex } = driver.state()
        const inForce = configurations.at(-1)
        const gone =
          inForce === undefined || inForce.index > commitIndex
            ? []
            : [...leaving].filter(([, since]) => performance.now() - since > FAREWELL_MS)
        for (const [name] of gone) leaving.delete(name)
        if (gone.length > 0) apply()
        if (
          role.type !== "leader" ||
          role.transfer !== null ||
          inForce === undefined ||
          inForce.index > commitIndex ||
          commitIndex < role.termStart ||
          inForce.configuration.outgoing.length > 0
        )
          return
        const addresses = corrected()
        const { voters, learners } = inForce.configuration
        if (addresses !== null) driver.change({ voters, learners, addresses }, () => undefined)
      }, LOOK_MS)
      return () => clearInterval(timer)
    },
  }
}
