/**
 * STEPRAFT SNAPSHOT: the data as one state of the history, piece by piece, for a backup (kv/backup).
 *
 *   STEPRAFT SNAPSHOT OPEN [LOCAL]        holds everything that was acknowledged before; with LOCAL what this node has executed,
 *                                         which also works while no leader is known. Answers a JSON object with its id, the
 *                                         cluster, and the index, term, time and checksum of the last entry in it
 *   STEPRAFT SNAPSHOT READ id offset      1 if it is the last piece, else 0; and its bytes (256 kB)
 *   STEPRAFT SNAPSHOT CLOSE id            lets it go, as a minute without a READ does
 *
 * There are no sessions in it: their keys are secrets.
 */
import { err, errorReply } from "../../machine/reply.ts"
import { wrongArity } from "../../machine/index.ts"
import type { Backups, Reply } from "../../types.ts"
import type { Context, ServerHandler, OrderedWork, Words } from "../contract.ts"
import { naturalAt, textAt, unknownSubcommand, wordAt } from "../words.ts"

const notHere = errorReply(
  "NOLEADER",
  "this node belongs to no cluster yet, so there is nothing to save. Ask a node that is a member.",
)

const ask = ({ host }: Context, barrier: boolean, run: (backups: Backups) => Promise<Reply>): Reply | OrderedWork => {
  const backups = host.service.backups?.() ?? null
  return backups === null ? notHere : { type: "work.read", barrier, long: true, run: () => run(backups) }
}

export const snapshot: ServerHandler = (context, words: Words) => {
  switch (wordAt(words, 2)) {
    case "open": {
      const local = wordAt(words, 3) === "local"
      if (words.length > (local ? 4 : 3)) return err("syntax error")
      return ask(context, !local, (backups) => backups.open())
    }
    case "read": {
      const offset = naturalAt(words, 4)
      if (words.length !== 5) return wrongArity("stepraft|snapshot")
      return offset === null
        ? err("the offset is a whole number")
        : ask(context, false, (backups) => backups.read(textAt(words, 3), offset))
    }
    case "close":
      return words.length === 4
        ? ask(context, false, (backups) => backups.close(textAt(words, 3)))
        : wrongArity("stepraft|snapshot")
    default:
      return unknownSubcommand("stepraft|snapshot", words[2])
  }
}
