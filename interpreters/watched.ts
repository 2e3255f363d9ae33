/** Files that a node reads again when they change: what its log says of them. */
import { stat } from "node:fs/promises"
import type { Logger } from "./log.ts"

const HOUR = 3_600_000

/** What stands in the files now cannot be used, so the next start would fail. */
export interface Unusable {
  /** Which file, and why. */
  readonly reason: string
  /** For how long. */
  readonly ms: number
}
/** The watched files of one kind, for status and metrics. */
export interface WatchedFiles {
  readonly kind: "tls" | "users"
  /** null: what stands there is in force. */
  readonly unusable: () => Unusable | null
}
export interface UnusableFiles extends Unusable {
  readonly kind: WatchedFiles["kind"]
}
export const unusableIn = (files: readonly WatchedFiles[]): readonly UnusableFiles[] =>
  files.flatMap(({ kind, unusable }) => {
    const found = unusable()
    return found === null ? [] : [{ kind, ...found }]
  })

export interface WatchedTexts {
  /** Said with the reason when a changed file cannot be used. */
  readonly refused: string
  /** Said when the files are again what they were. */
  readonly restored: string
}
/**
 * A file that cannot be used is forgotten until the next restart, which then fails. So it is said again every hour, and
 * that it is mended is said too.
 */
export class Watched {
  private said: { readonly reason: string; readonly at: number; readonly since: number } | null = null
  private readonly log: Logger
  private readonly texts: WatchedTexts
  private readonly now: () => number

  constructor(log: Logger, texts: WatchedTexts, now: () => number = () => performance.now()) {
    this.log = log
    this.texts = texts
    this.now = now
  }

  readonly unusable = (): Unusable | null =>
    this.said === null ? null : { reason: this.said.reason, ms: Math.max(0, Math.round(this.now() - this.said.since)) }
  refuse(reason: string): void {
    const at = this.now()
    if (this.said?.reason === reason && at - this.said.at < HOUR) return
    this.said = { reason, at, since: this.said?.since ?? at }
    this.log("warn", `${this.texts.refused}: ${reason}. Mend that: with these files the node would not start again.`)
  }
  /** The files hold what is in force. */
  restore(): void {
    if (this.said !== null) this.log("info", this.texts.restored)
    this.said = null
  }
  /** New files are in force, which the caller says. */
  replace(): void {
    this.said = null
  }
}

/**
 * What to say of a secret file that others than the node's user can read; null: they cannot. root may give a file of his
 * to the node's group, as Kubernetes does. Windows has no such modes.
 */
export const exposedSecret = async (file: string, secret: string): Promise<string | null> => {
  const me = process.getuid?.()
  const found = me === undefined ? null : await stat(file).catch(() => null)
  if (found === null || me === undefined) return null
  if ((found.mode & (found.uid === 0 && me !== 0 ? 0o007 : 0o077)) === 0) return null
  const give = found.uid === me ? "" : `chown ${me} ${file} && `
  const mode = (found.mode & 0o777).toString(8)
  return `${file} can be read by other users of this machine (mode ${mode}), and ${secret}: ${give}chmod 600 ${file}`
}
