/**
 * The work of connections is measured in units, so that the clock is not read after every command. A short command is
 * one unit, about a microsecond.
 */
import type { ClientState } from "./client.ts"
import type { Words } from "./contract.ts"

/** The clock is read after this many units. */
export const unitsPerLook = 16
/** Items of a long reply that are encoded between two readings of the clock. */
export const itemsPerLook = 256

const unitsOfRead = 4
const bytesPerUnit = 4096
const wordsPerUnit = 16
export const wordUnits = (words: Words): number => Math.floor(words.length / wordsPerUnit)
/** The units of a read whose reply had this many bytes. */
export const readUnits = (words: Words, bytes: number): number =>
  unitsOfRead + wordUnits(words) + Math.floor(bytes / bytesPerUnit)

/** The most received bytes that wait for their turn; beyond it nothing more is read from the socket. */
export const readAhead = ({ user }: ClientState): number => (user === null ? strangersAhead : knownAhead)
const knownAhead = 128 * 1024
/** The limit for a client that is not logged in. */
const strangersAhead = 16 * 1024
/** Memory of an idle connection with its socket and parser. */
export const baseWeight = 4096
