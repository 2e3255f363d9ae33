/**
 * CLUSTER, in the forms that cluster-aware clients parse: all slots belong to the leader, and the other nodes are its
 * replicas. Redis identifies a node by 40 hex digits; here they are the hash of its name, so that every node gives the
 * same.
 */
import { err, integer } from "../../machine/reply.ts"
import { createHash } from "node:crypto"
import type { Reply } from "../../types.ts"
import { container, sub } from "./container.ts"
import type { ServerHandler, Host } from "../contract.ts"
import { array, bulkText, map, verbatim } from "../wire/encode.ts"
import { keySlot, slotCount } from "./keyslot.ts"
import { naturalAt } from "../words.ts"

interface Member {
  readonly id: string
  readonly host: string
  readonly port: number
  readonly leads: boolean
  readonly self: boolean
  readonly connected: boolean
}

const nodeId = (name: string): string => createHash("sha1").update(name).digest("hex")

const address = (client: string): { readonly host: string; readonly port: number } | null => {
  const colon = client.lastIndexOf(":")
  const port = Number(client.slice(colon + 1))
  return colon < 0 || !Number.isInteger(port) ? null : { host: client.slice(0, colon).replace(/^\[|\]$/gu, ""), port }
}

/** Every node whose client address is known, the leader first. */
const membersOf = (host: Host): Member[] => {
  const status = host.service.status()
  const leader = host.service.leader()
  const members = new Map<string, Member>()
  const add = (id: string, at: { readonly host: string; readonly port: number } | null, connected: boolean): void => {
    if (at !== null && !members.has(id))
      members.set(id, { id, ...at, leads: id === leader?.id, self: id === status.id, connected })
  }
  if (leader !== null) add(leader.id, leader, true)
  add(status.id, address(status.client), true)
  for (const peer of status.peers) if (peer.client !== null) add(peer.id, address(peer.client), peer.connected)
  return [...members.values()]
}

const slots = (members: readonly Member[]): Reply => {
  if (members[0]?.leads !== true) return array([])
  const nodes = members.map(({ id, host, port }) =>
    array([bulkText(host), integer(port), bulkText(nodeId(id)), array([])]),
  )
  return array([array([integer(0), integer(slotCount - 1), ...nodes])])
}

const shards = (members: readonly Member[], offset: number): Reply =>
  array([
    map({
      slots: array(members[0]?.leads === true ? [integer(0), integer(slotCount - 1)] : []),
      nodes: array(
        members.map(({ id, host, port, leads, connected }) =>
          map({
            id: bulkText(nodeId(id)),
            port: integer(port),
            ip: bulkText(host),
            endpoint: bulkText(host),
            role: bulkText(leads ? "master" : "replica"),
            "replication-offset": integer(offset),
            health: bulkText(connected ? "online" : "failed"),
          }),
        ),
      ),
    }),
  ])

const nodes = (members: readonly Member[], term: number): Reply => {
  const leader = members.find(({ leads }) => leads)
  const line = ({ id, host, port, leads, self, connected }: Member): string => {
    const flags = [...(self ? ["myself"] : []), leads ? "master" : "slave"].join(",")
    const master = leads || leader === undefined ? "-" : nodeId(leader.id)
    // The second port is that of Redis' gossip protocol, which no node speaks; clients only parse it.
    const range = leads ? ` 0-${slotCount - 1}` : ""
    return `${nodeId(id)} ${host}:${port}@${port} ${flags} ${master} 0 0 ${term} ${connected ? "connected" : "disconnected"}${range}\n`
  }
  return verbatim(members.map(line).join(""))
}

const info = (members: readonly Member[], term: number): Reply => {
  const led = members[0]?.leads === true
  const assigned = led ? slotCount : 0
  return verbatim(
    `cluster_enabled:1\r\ncluster_state:${led ? "ok" : "fail"}\r\ncluster_slots_assigned:${assigned}\r\ncluster_slots_ok:${assigned}\r\n` +
      `cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:${members.length}\r\ncluster_size:${led ? 1 : 0}\r\n` +
      `cluster_current_epoch:${term}\r\ncluster_my_epoch:${term}\r\n`,
  )
}

const countKeysInSlot: ServerHandler = (_, words) => {
  const slot = naturalAt(words, 2)
  // Keys are not stored by slot; the number has no effect on a client.
  return slot === null || slot >= slotCount ? err("Invalid slot") : integer(0)
}

export const clusterCommands = [
  container(
    "cluster",
    {
      slots: sub("", "Which node has which slots: the leader has all.", ({ host }) => slots(membersOf(host))),
      shards: sub("", "The same, in the form of Redis 7.", ({ host }) =>
        shards(membersOf(host), host.service.status().commitIndex),
      ),
      nodes: sub("", "The nodes, one per line.", ({ host }) => nodes(membersOf(host), host.service.status().term)),
      info: sub("", "The state of the cluster.", ({ host }) => info(membersOf(host), host.service.status().term)),
      myid: sub("", "The name of this node, as CLUSTER NODES has it.", ({ host }) => bulkText(nodeId(host.self))),
      keyslot: sub("key", "The slot of a key.", (_, words) => integer(keySlot(words[2] ?? Buffer.alloc(0)))),
      countkeysinslot: sub("slot", "0: keys are not kept by slot.", countKeysInSlot),
    },
    { flags: ["admin", "stale"], underMulti: "refuse" },
  ),
]
