/**
 * The acceptance scenarios, by letter: E elections, B agreement, C crashes and churn, S snapshots, K the key-value
 * service, Q the replicated state machine, N the network, X scenarios of our own. Each is a test whose name starts with
 * its ID.
 */
export const scenarios = {
  E1: "InitialElection",
  E2: "ReElection",
  E3: "ManyElections",

  B1: "BasicAgree",
  B2: "RPCBytes",
  B3: "FollowerFailure",
  B4: "LeaderFailure",
  B5: "FailAgree",
  B6: "FailNoAgree",
  B7: "ConcurrentStarts",
  B8: "Rejoin",
  B9: "Backup",
  B10: "Count",

  C1: "Persist1",
  C2: "Persist2",
  C3: "Persist3",
  C4: "Figure8",
  C5: "UnreliableAgree",
  C6: "Figure8Unreliable",
  C7: "ReliableChurn",
  C8: "UnreliableChurn",

  S1: "SnapshotBasic",
  S2: "SnapshotInstall",
  S3: "SnapshotInstallUnreliable",
  S4: "SnapshotInstallCrash",
  S5: "SnapshotInstallUnreliableCrash",
  S6: "SnapshotAllCrash",
  S7: "SnapshotInit",

  K1: "Basic",
  K2: "Speed",
  K3: "Concurrent",
  K4: "Unreliable",
  K5: "UnreliableOneKey",
  K6: "OnePartition",
  K7: "ManyPartitionsOneClient",
  K8: "ManyPartitionsManyClients",
  K9: "PersistOneClient",
  K10: "PersistConcurrent",
  K11: "PersistConcurrentUnreliable",
  K12: "PersistPartition",
  K13: "PersistPartitionUnreliable",
  K14: "PersistPartitionUnreliableLinearizable",
  K15: "SnapshotRPC",
  K16: "SnapshotSize",
  K17: "SpeedSnap",
  K18: "SnapshotRecover",
  K19: "SnapshotRecoverManyClients",
  K20: "SnapshotUnreliable",
  K21: "SnapshotUnreliableRecover",
  K22: "SnapshotUnreliableRecoverConcurrentPartition",
  K23: "SnapshotUnreliableRecoverConcurrentPartitionLinearizable",

  Q1: "Basic",
  Q2: "Concurrent",
  Q3: "LeaderFailure",
  Q4: "LeaderPartition",
  Q5: "RestartReplay",
  Q6: "Shutdown",
  Q7: "RestartSubmit",
  Q8: "Snapshot",

  N1: "Basic",
  N2: "Types",
  N3: "Disconnect",
  N4: "Counts",
  N5: "Bytes",
  N6: "ConcurrentMany",
  N7: "Unreliable",
  N8: "ConcurrentOne",
  N9: "PendingWhileDisabled",
  N10: "StoppedReceiver",
  N11: "Throughput",

  X1: "EvenSizes",
  X2: "CompactedFollowerLostReplies",
  X3: "RestartWithDurableMachine",
  X4: "TornWrites",
  X5: "FailedWrites",
  X6: "AsymmetricLinks",
  X7: "DuplicatedMessages",
  X8: "ClockJumps",
  X9: "Pauses",
  X10: "SlowDisks",
  X11: "SnapshotsInManyChunks",
  X12: "StaleReadsFromDeposedLeader",
  X13: "PaperFigure7",
  X14: "PaperFigure8",
  X15: "SplitVote",
  X16: "DisruptiveServer",
  X17: "PartialPartition",
  X18: "AddServers",
  X19: "RemoveServers",
  X20: "RemoveLeader",
  X21: "ReplaceWipedServer",
  X22: "ChangeUnderPartition",
  X23: "ChangeUnderLeaderCrash",
  X24: "LeaseUnderClockDrift",
  X25: "LeaseUnderPause",
  X26: "FullDisks",
  X27: "DamagedStateMachine",
} as const
export type ScenarioId = keyof typeof scenarios

export const isScenarioId = (text: string): text is ScenarioId => Object.hasOwn(scenarios, text)
export const scenarioIds: readonly ScenarioId[] = Object.keys(scenarios).filter(isScenarioId)

/** `E 3/3, B 10/10, …` of the IDs that are given. */
export const countByLetter = (ran: ReadonlySet<string>): string => {
  const letters = [...new Set(scenarioIds.map((id) => id.slice(0, 1)))]
  return letters
    .map((letter) => {
      const all = scenarioIds.filter((id) => id.startsWith(letter))
      return `${letter} ${all.filter((id) => ran.has(id)).length}/${all.length}`
    })
    .join(", ")
}
