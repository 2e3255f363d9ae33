/** `import … from "stepraft/interpreters/file"`: stable storage in a directory (Node). */
export { openFileStorage, type FileStorage, type FileStorageOptions } from "./index.ts"
export {
  DirectoryGone,
  DirectoryLocked,
  DirectoryUnusable,
  DiskFull,
  IdentityUnreadable,
  LockLost,
  LogCorrupted,
  LogCutShort,
  SegmentMissing,
  SyncFailed,
  WriteFailed,
  WrongCluster,
  WrongFormat,
  WrongNode,
  type StorageError,
} from "./errors.ts"
export type { SpaceMarks } from "./space.ts"
