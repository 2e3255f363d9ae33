/**
 * The handshake: who the other end is, and whether the two belong together. Every transport checks this before it
 * passes a message on. How a hello is encoded is up to the transport.
 */
import {
  holdsLess,
  lineage,
  type Configuration,
  type DurablePosition,
  type Member,
  type Sighting,
  type Start,
} from "../core/index.ts"
import { ownFeatures, type Features } from "./features.ts"
import { LOST_MEMBER_ADVICE } from "./advice.ts"
import { shown } from "./text.ts"

/** What a node tells all its peers about itself. It changes when the cluster is formed. */
export interface LocalHello {
  /** Identity of the cluster; null until it is formed. */
  readonly cluster: string | null
  /** host:port where this node serves clients. */
  readonly clientAddress: string
  /** The data directory holds no data yet. */
  readonly empty: boolean
  /** The first configuration, once formed. */
  readonly founding: Configuration | null
  /** Which start of its directory this is. */
  readonly start: Start
  /** The position that was durable in its log when this start read it. */
  readonly recovered: DurablePosition
  /** Why its directory is not to be trusted, as a peer has told it. Such a node says nothing else any more. */
  readonly refused: string | null
  /** Default: what this version supports, in a cluster of the first level. */
  readonly features?: Features
}
export interface Hello extends LocalHello {
  readonly member: Member
  /** The name of the member that the sender means to reach. */
  readonly target: string
  readonly features: Features
}

export type HelloRefusalReason =
  | "WrongVersion"
  | "WrongCluster"
  | "WrongTarget"
  | "OwnName"
  | "UnknownPeer"
  | "DuplicateName"
  | "RolledBack"
  | "Superseded"
  | "StartedTwice"
  | "Untrusted"
  | "LevelTooLow"
/** True for refusals that concern a directory for ever: it counts as lost. */
export const isPermanent = ({ reason }: Refusal): boolean => reason === "RolledBack" || reason === "Superseded"
export interface Refusal {
  readonly reason: HelloRefusalReason
  readonly detail: string
}
/** May these two exchange messages? `expected` is the name that this node dialled, or null if the other end dialled. */
export const checkHello = (
  self: Member,
  local: LocalHello,
  known: (name: string) => boolean,
  hello: Hello,
  expected: string | null,
): Refusal | null => {
  const name = hello.member.name
  if (local.cluster !== null && hello.cluster !== null && local.cluster !== hello.cluster)
    return {
      reason: "WrongCluster",
      detail: `${self.name} belongs to cluster ${local.cluster}, ${name} to ${hello.cluster}: correct the peer addresses, or give the node that is in the wrong place an empty data directory. Both kept their data.`,
    }
  if (name === self.name)
    return {
      reason: "OwnName",
      detail: `two nodes are called ${name}, or ${name} has its own address under another name in its peer list: give each node a name and an address of its own.`,
    }
  if (hello.target !== self.name)
    return {
      reason: "WrongTarget",
      detail: `${name} wanted to speak to ${hello.target}, but this is ${self.name}: correct the address of ${hello.target} in the peer list of ${name}.`,
    }
  if (expected !== null && name !== expected)
    return {
      reason: "WrongTarget",
      detail: `${self.name} wanted to speak to ${expected}, but ${name} answered: correct the address of ${expected} in the peer list of ${self.name}.`,
    }
  const low = levelTooLow(self, local, hello)
  if (low !== null) return low
  if (!known(name))
    return {
      reason: "UnknownPeer",
      detail: `${name} is not in the peer list of ${self.name}, nor a member that it knows of: if it is to join, add it (stepraft member add ${name}, or members.add in a program); otherwise stop it.`,
    }
  return null
}

const cannot = (name: string, { version, level }: Features, by: string, needed: number): Refusal => ({
  reason: "LevelTooLow",
  detail: `${name} runs version ${version}, which supports feature levels up to ${level}, but the cluster of ${by} is at level ${needed}, which cannot be lowered again: start ${name} with a version that supports level ${needed}, and without a lower --feature-level-max. Its data are kept as they are, and no message was exchanged.`,
})
/** Either end may be the one that cannot read what the other's cluster writes. */
const levelTooLow = (self: Member, { features: own = ownFeatures }: LocalHello, hello: Hello): Refusal | null => {
  const { features: theirs, member } = hello
  if (theirs.level < own.clusterLevel) return cannot(member.name, theirs, self.name, own.clusterLevel)
  return own.level < theirs.clusterLevel ? cannot(self.name, own, member.name, theirs.clusterLevel) : null
}

export const forWhom = (certified: string): string => (certified === "" ? "for nobody" : `for ${shown(certified, 80)}`)
/** `certified`: the name in the sender's certificate. */
export const untrustedName = (self: Member, hello: Hello, certified: string): Refusal => ({
  reason: "Untrusted",
  detail: `${self.name} received a hello from a node that calls itself ${hello.member.name}, but its certificate is ${forWhom(certified)}: give each node a certificate of its own name (stepraft cert node ${hello.member.name}). Nothing was exchanged.`,
})

const MEND = (name: string): string =>
  `Its vote and its acknowledgements count no more; its files were left as they are. If this was a mistake, stop ${name} and bring the right directory back as a whole; otherwise its disk is lost. ${LOST_MEMBER_ADVICE}`

/** Does the start that sent this hello come after every start of that directory that this node has seen? */
export const checkStart = (self: Member, met: Sighting | null, hello: Hello): Refusal | null => {
  const { member, start, recovered, refused } = hello
  const { name, incarnation } = member
  if (refused !== null)
    return { reason: "RolledBack", detail: `${name} reports that its own directory is not to be trusted: ${refused}` }
  if (met === null) return null
  switch (lineage(met.start, start)) {
    case "same":
      return null
    case "superseded":
      return {
        reason: "Superseded",
        detail: `${name} runs as start ${start.number} of the directory of incarnation ${incarnation}, but ${self.name} has seen start ${met.start.number} of it: the directory was copied while this process used it, and the copy was started too. ${MEND(name)}`,
      }
    case "forked":
      return {
        reason: "RolledBack",
        detail: `the directory of ${name} (incarnation ${incarnation}, start ${start.number}) was restored to an earlier state, or is a copy: ${self.name} has seen start ${met.start.number} of it, which is missing in its history. What it acknowledged and voted in between is gone. ${MEND(name)}`,
      }
    case "later":
      if (!holdsLess(recovered, met)) return null
      return {
        reason: "RolledBack",
        detail: `the directory of ${name} (incarnation ${incarnation}, start ${start.number}) ends at term ${recovered.term}, entry ${recovered.index}, but ${name} has told ${self.name} that term ${met.term}, entry ${met.index} is on its disk: it was restored to an earlier state, or its log was cut. ${MEND(name)}`,
      }
  }
}

export const startedTwice = (self: Member, hello: Hello, live: Start): Refusal => ({
  reason: "StartedTwice",
  detail: `${self.name} is connected with another process of ${hello.member.name} (incarnation ${hello.member.incarnation}): that process is start ${live.number}, the one that is refused is start ${hello.start.number}. If the other process has just ended, this passes by itself; if not, two processes run on copies of one directory: stop the one that should not run. Nothing was exchanged.`,
})

export const duplicateName = (self: Member, name: string, address: string): Refusal => ({
  reason: "DuplicateName",
  detail: `${self.name} is connected with another ${name}, of another incarnation, at ${address}: if ${name} was just started with another directory this passes by itself; if not, two processes use that name and one must be stopped.`,
})
