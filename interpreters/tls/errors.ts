import * as Data from "effect/Data"

/** What a node was given to prove itself with, or to check others by, is of no use. */
export class TlsUnusable extends Data.TaggedError("TlsUnusable")<{ readonly file: string; readonly reason: string }> {
  override get message(): string {
    return `${this.file} cannot be used for TLS: ${this.reason}. Nothing was started, and nothing on disk was touched.`
  }
}
