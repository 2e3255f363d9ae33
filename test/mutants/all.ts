/** Every mutant, by family. */
import { backups } from "./backups.ts"
import { behind } from "./behind.ts"
import { clients } from "./clients.ts"
import { clock } from "./clock.ts"
import { commit } from "./commit.ts"
import { contracts } from "./contracts.ts"
import { costs } from "./costs.ts"
import { directories } from "./directories.ts"
import { durability } from "./durability.ts"
import { edges } from "./edges.ts"
import { election } from "./election.ts"
import { faults } from "./faults.ts"
import { features } from "./features.ts"
import { halts } from "./halts.ts"
import { judges } from "./judges.ts"
import { log } from "./log.ts"
import { members } from "./members.ts"
import { membership } from "./membership.ts"
import type { Seeded } from "./mutant.ts"
import { once } from "./once.ts"
import { own } from "./own.ts"
import { ports } from "./ports.ts"
import { reads } from "./reads.ts"
import { recovery } from "./recovery.ts"
import { replicas } from "./replicas.ts"
import { reserves } from "./reserves.ts"
import { serving } from "./serving.ts"
import { snapshot } from "./snapshot.ts"
import { timers } from "./timers.ts"
import { transport } from "./transport.ts"
import { worlds } from "./worlds.ts"

export const families: Readonly<Record<string, readonly Seeded[]>> = {
  election,
  log,
  commit,
  snapshot,
  membership,
  reads,
  clients,
  recovery,
  transport,
  ports,
  timers,
  durability,
  own,
  behind,
  edges,
  serving,
  costs,
  reserves,
  once,
  halts,
  clock,
  directories,
  worlds,
  judges,
  replicas,
  members,
  contracts,
  backups,
  faults,
  features,
}
export const seeded: readonly Seeded[] = Object.values(families).flat()
