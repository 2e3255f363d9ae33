import * as Data from "effect/Data"

/** The certificate, key or authorities that a node was given cannot be used. */
export class TlsUnusable extends Data.TaggedError("TlsUnusable")<{ readonly file: string; readonly reason: string }> {
  override get message(): string {
    return `${this.file} cannot be used for TLS: ${this.reason}. Nothing was started, and nothing on disk was touched.`
  }
}
