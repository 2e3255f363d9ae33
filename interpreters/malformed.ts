/** These bytes are not what was written, or not all of it. */
export class MalformedBytes extends Error {
  override readonly name = "MalformedBytes"
}
