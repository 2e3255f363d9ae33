/** These bytes are not what was written, or only a part of it. */
export class MalformedBytes extends Error {
  override readonly name = "MalformedBytes"
}
