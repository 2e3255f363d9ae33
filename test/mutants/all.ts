/** Every mutant, by family. */
import { clients } from "./clients.ts"
import { clock } from "./clock.ts"
import { commit } from "./commit.ts"
import { costs } from "./costs.ts"
import { directories } from "./directories.ts"
import { durability } from "./durability.ts"
import { edges } from "./edges.ts"
import { election } from "./election.ts"
import { halts } from "./halts.ts"
import { log } from "./log.ts"
import { membership } from "./membership.ts"
import type { Seeded } from "./mutant.ts"
import { once } from "./once.ts"
import { own } from "./own.ts"
import { reads } from "./reads.ts"
import { recovery } from "./recovery.ts"
import { reserves } from "./reserves.ts"
import { snapshot } from "./snapshot.ts"
import { timers } from "./timers.ts"
import { transport } from "./transport.ts"

export const families: Readonly<Record<string, readonly Seeded[]>> = { election, log, commit, snapshot, membership, reads, clients, recovery, transport, timers, durability, own, edges, costs, reserves, once, halts, clock, directories }
export const seeded: readonly Seeded[] = Object.values(families).flat()
