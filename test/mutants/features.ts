/** Feature levels: what a newer version may write, and when; and that what was published opens for good. */
import type { Seeded } from "./mutant.ts"

export const features: readonly Seeded[] = [
  {
    id: "own-level-1",
    title: "the level rises although one member cannot do it",
    patches: [
      {
        file: "interpreters/members/level.ts",
        find: "const level = Math.min(...membersOf",
        replace: "const level = Math.max(...membersOf",
      },
    ],
  },
  {
    id: "own-level-2",
    title: "a newer node writes what an older one cannot read before the level is committed",
    patches: [
      {
        file: "interpreters/features.ts",
        find: "configurations.findLast(({ index }) => index <= commitIndex)",
        replace: "configurations.findLast(({ index }) => index <= commitIndex + 1)",
      },
    ],
  },
  {
    id: "own-level-3",
    title: "the level is lost in a log, a snapshot and a message",
    patches: [{ file: "interpreters/bytes.ts", find: "w.u32(configuration.level ?? 0)", replace: "w.u32(0)" }],
  },
  {
    id: "own-level-4",
    title: "the level is lost when members change",
    patches: [
      {
        file: "core/reconfiguration.ts",
        find: "addresses = now.addresses, level = now.level } = change",
        replace: "addresses = now.addresses, level } = change",
      },
    ],
  },
  {
    id: "own-level-5",
    title: "the level can be lowered",
    patches: [
      { file: "core/reconfiguration.ts", find: " || level < levelOf(now)) return false", replace: ") return false" },
    ],
  },
  {
    id: "own-level-6",
    title: "logs whose level differs count as equal",
    patches: [
      {
        file: "core/chain.ts",
        find: "level === undefined ? placed : fold(placed, level)",
        replace: "level === undefined ? placed : fold(placed, 0)",
      },
    ],
  },
  {
    id: "own-level-7",
    title: "a version that cannot do the level is connected",
    patches: [
      {
        file: "interpreters/hello.ts",
        find: "if (theirs.level < own.clusterLevel) return",
        replace: "if (theirs.level < 1) return",
      },
    ],
  },
  {
    id: "own-level-8",
    title: "a cluster that is made of data begins at the first level",
    patches: [
      {
        file: "interpreters/file/createLog.ts",
        find: "...(level === undefined ? {} : { level }),",
        replace: "...(level === undefined ? {} : {}),",
      },
    ],
  },
  {
    id: "own-level-9",
    title: "a version starts on a directory whose level it cannot do",
    patches: [
      {
        file: "interpreters/node/level.ts",
        find: "return cluster <= level ? null",
        replace: "return cluster > 0 ? null",
      },
    ],
  },
  {
    id: "own-level-10",
    title: "a directory in the first format that was published does not open",
    patches: [{ file: "interpreters/file/identity.ts", find: "= { 5: fieldsIn }", replace: "= { 6: fieldsIn }" }],
  },
  {
    id: "own-level-11",
    title: "a newcomer that cannot do the level is taken in",
    patches: [
      {
        file: "interpreters/members/goals.ts",
        find: "if (presence !== null && presence.features.level < level)",
        replace: "if (presence !== null && presence.features.level < 1)",
      },
    ],
  },
]
