/**
 * Several replicas in one process, without disks and sockets: for unit tests of a machine and of what is built on it.
 * The implementation is loaded on demand, because servers never need it.
 */
import type { ReplicaGroup, ReplicaGroupOptions } from "./group.ts"

export const replicateTogether = async <State, Command, Result>(
  options: ReplicaGroupOptions<State, Command, Result>,
): Promise<ReplicaGroup<State, Command, Result>> => (await import("./memory.ts")).openMemoryReplicas(options)
