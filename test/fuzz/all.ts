import type { Parser } from "./parser.ts"
import { parsers as backups } from "./parsers/backups.ts"
import { parsers as certificates } from "./parsers/certificates.ts"
import { parsers as commandLines } from "./parsers/commandLines.ts"
import { parsers as debuggers } from "./parsers/debugger.ts"
import { parsers as peers } from "./parsers/peers.ts"
import { parsers as replica } from "./parsers/replica.ts"
import { parsers as resp } from "./parsers/resp.ts"
import { parsers as storage } from "./parsers/storage.ts"
import { parsers as store } from "./parsers/store.ts"
import { parsers as texts } from "./parsers/texts.ts"
import { parsers as words } from "./parsers/words.ts"

/** By the file that a thread is made of. */
export const sources: readonly (readonly [file: string, parsers: readonly Parser[]])[] = [
  ["test/fuzz/parsers/resp.ts", resp],
  ["test/fuzz/parsers/peers.ts", peers],
  ["test/fuzz/parsers/storage.ts", storage],
  ["test/fuzz/parsers/store.ts", store],
  ["test/fuzz/parsers/replica.ts", replica],
  ["test/fuzz/parsers/texts.ts", texts],
  ["test/fuzz/parsers/words.ts", words],
  ["test/fuzz/parsers/commandLines.ts", commandLines],
  ["test/fuzz/parsers/backups.ts", backups],
  ["test/fuzz/parsers/debugger.ts", debuggers],
  ["test/fuzz/parsers/certificates.ts", certificates],
]
