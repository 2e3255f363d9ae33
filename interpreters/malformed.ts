/** Thrown when bytes are not in the expected form, or are incomplete. */
export class MalformedBytes extends Error {
  override readonly name = "MalformedBytes"
}
