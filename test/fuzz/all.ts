import type { Parser } from "./parser.ts"
import { parsers as peers } from "./parsers/peers.ts"
import { parsers as resp } from "./parsers/resp.ts"
import { parsers as storage } from "./parsers/storage.ts"

/** By the file that a thread is made of. */
export const sources: readonly (readonly [file: string, parsers: readonly Parser[]])[] = [
  ["test/fuzz/parsers/resp.ts", resp],
  ["test/fuzz/parsers/peers.ts", peers],
  ["test/fuzz/parsers/storage.ts", storage],
]
