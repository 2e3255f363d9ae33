/** Replicas without disks and sockets, in one process: for unit tests, and for browsers. */
export { DiskFailed, DiskInUse, foundTogether, makeMemoryDisk, type DiskAction, type DiskContents, type MemoryDisk, type MemoryDiskOptions, type MemoryStorage } from "./disk.ts"
export { makeMemoryNetwork, type MemoryNetwork, type NetworkAction } from "./network.ts"
export { makeMachineDisk, SnapshotUnusable, type MachineDisk, type MemoryMachine, type MemoryMachineOptions, type Placed } from "./machine.ts"
export { makeMemoryCluster, type ClusterAction, type MemoryCluster, type MemoryClusterOptions, type MemoryReplica } from "./cluster.ts"
