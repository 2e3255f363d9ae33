/** A user's state machine behind `replicate`: exactly-once, snapshots, leases, comparing. */
import type { Seeded } from "./mutant.ts"

const R = "interpreters/replica/"
export const replicas: readonly Seeded[] = [
  {
    id: "own-replica-1",
    title: "a copy of a command of a replica is executed again",
    patches: [
      {
        file: `${R}machine/sessionTable.ts`,
        find: `if (sequence === held.session.last + 1) return { type: "execute" }`,
        replace: `if (sequence <= held.session.last + 1) return { type: "execute" }`,
      },
    ],
  },
  {
    id: "own-replica-2",
    title: "a server's earlier session stays open beside its new one",
    patches: [
      { file: `${R}machine/sessionTable.ts`, find: "    if (held !== undefined) this.end(held)\n", replace: "" },
    ],
  },
  {
    id: "own-replica-3",
    title: "a snapshot of a replica is believed whatever its checksum says",
    patches: [
      { file: `${R}machine/snapshot.ts`, find: "          if (text !== `!", replace: "          if (text === `?" },
    ],
  },
  {
    id: "own-replica-4",
    title: "leases are left out of snapshots",
    patches: [{ file: `${R}machine/execution.ts`, find: "leases: this.leases.image()", replace: "leases: []" }],
  },
  {
    id: "own-replica-5",
    title: "a lease is given to whoever asks",
    patches: [
      {
        file: "interpreters/replica/machine/leases.ts",
        find: "    if (held !== undefined && held.holder !== holder)\n",
        replace: "    if (held !== undefined && held.holder !== holder && now < 0)\n",
      },
    ],
  },
  {
    id: "own-replica-6",
    title: "all holders of a lease get the same token",
    patches: [{ file: `${R}machine/leases.ts`, find: "held?.token ?? index", replace: "held?.token ?? 1" }],
  },
  {
    id: "own-replica-7",
    title: "a holder that is cut off counts on its lease for longer than the table does",
    patches: [
      {
        file: "interpreters/lease/elect.ts",
        find: "until: asked + ttl * COUNTED_ON",
        replace: "until: asked + ttl * 8 * COUNTED_ON",
      },
    ],
  },
  {
    id: "own-replica-8",
    title: "only who differs tells its digest, so no majority is found",
    patches: [
      {
        file: `${R}comparing.ts`,
        find: "if (digest !== own && !one.told) {",
        replace: "if (digest !== own && !one.told && owner.length < 0) {",
      },
    ],
  },
  {
    id: "own-replica-9",
    title: "a linearizable read of a replica asks nobody",
    patches: [
      {
        file: `${R}replica.ts`,
        find: `    if (consistency === "linearizable") await barrier()\n`,
        replace: `    if (consistency !== "linearizable") await barrier()\n`,
      },
    ],
  },
  {
    id: "own-replica-10",
    title: "a replica that begins with an empty state after its snapshots were lost says that it stands where they did",
    patches: [
      {
        file: `${R}machine/machine.ts`,
        find: "position: () => (lost ? null : executor.position)",
        replace: "position: () => executor.position",
      },
    ],
  },
  {
    id: "own-replica-11",
    title: "who gives up while a take is under way leaves the lease to its time",
    patches: [
      {
        file: "interpreters/lease/elect.ts",
        find: "      if (claim.open)\n",
        replace: "      if (claim.open && ttl < 0)\n",
      },
    ],
  },
  {
    id: "own-replica-12",
    title: "the token of a lease in the store is the same for all holders",
    patches: [
      { file: "kv/machine/commands/leases.ts", find: "Buffer.from(`${view.index} `)", replace: "Buffer.from(`1 `)" },
    ],
  },
  {
    id: "own-replica-13",
    title: "a state that keeps itself forgets the outcomes of its sessions",
    patches: [
      {
        file: `${R}machine/sessionTable.ts`,
        find: "    this.changed(outcomeRecord(id, held.session.last + 1))\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-replica-14",
    title: "a snapshot of a state that keeps itself is believed whatever its bytes are",
    patches: [
      {
        file: "interpreters/node/durable.ts",
        find: "return snapshot.id === idOf(id, snapshot, size, crc)",
        replace: "return snapshot.id.startsWith(id) && crc >= 0 && size >= 0",
      },
    ],
  },
]
