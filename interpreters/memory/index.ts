/** Replicas without disks and sockets, in one process: for unit tests, and for browsers. */
export {
  DiskFailed,
  DiskInUse,
  foundCluster,
  makeMemoryDisk,
  randomWord,
  type DiskAction,
  type DiskContents,
  type MemoryDisk,
  type MemoryDiskOptions,
  type MemoryStorage,
} from "./disk.ts"
export { makeMemoryNetwork, type MemoryNetwork, type NetworkAction } from "./network.ts"
