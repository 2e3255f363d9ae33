/**
 * The certificate, its key and the trusted authorities, in files that are read again when they change: new files count
 * for new connections, and open connections continue. Files that do not fit together, because only some of them were
 * replaced yet, are not used until the rest is replaced too.
 */
import type { X509Certificate } from "node:crypto"
import { readFile } from "node:fs/promises"
import { createSecureContext } from "node:tls"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Logger, LogLevel } from "../log.ts"
import { shown } from "../text.ts"
import { exposedSecret, Watched, type Unusable } from "../watched.ts"
import { CLIENT_AUTH, SERVER_AUTH } from "./certificate.ts"
import { TlsUnusable } from "./errors.ts"
import { nameIn } from "./names.ts"
import { certificates, pairIn } from "./pair.ts"
import { renewalOf, type Renewal } from "./renewal.ts"

export interface TlsFiles {
  /** PEM: the certificate, and any certificates between it and the authority. */
  readonly cert: string
  /** PEM, not encrypted. */
  readonly key: string
  /** PEM: one or more authorities. Only their certificates count, not those that the system trusts. */
  readonly ca: string
}
/** In the form for Node's tls module. */
export interface TlsMaterial {
  readonly cert: string
  readonly key: string
  readonly ca: string
}
export interface Tls {
  readonly material: () => TlsMaterial
  /** When the certificate begins and ends, and how soon it has to be replaced. */
  readonly begins: () => Date
  readonly ends: () => Date
  readonly renewal: () => Renewal
  /** How often the files were replaced since the start. */
  readonly reloads: () => number
  /** Why the next start could not use what stands in the files; null: it could. */
  readonly unusable: () => Unusable | null
  /** Called after each change. Returns the function that unsubscribes. */
  readonly onChange: (listener: () => void) => () => void
  /** Checks the files at once instead of at the next interval. */
  readonly look: () => Promise<void>
}

export interface TlsOptions {
  /** The member's name, which the certificate must carry. */
  readonly name: string
  readonly files: TlsFiles
  readonly log: Logger
  /** How often the files are checked, in milliseconds. Default 5,000. */
  readonly everyMs?: number
}

const HOUR = 3_600_000
const DAY = 24 * HOUR
const MOST_LINKS = 8

const signs = (by: X509Certificate, one: X509Certificate): boolean => {
  try {
    return one.checkIssued(by) && one.verify(by.publicKey)
  } catch {
    // Of a kind of key that cannot be read.
    return false
  }
}
const leads = (from: X509Certificate, between: readonly X509Certificate[], to: readonly X509Certificate[]): boolean => {
  let at: X509Certificate | undefined = from
  for (let links = 0; at !== undefined && links < MOST_LINKS; links++) {
    const here: X509Certificate = at
    if (to.some((authority) => signs(authority, here))) return true
    at = between.find((one) => one !== here && signs(one, here))
  }
  return false
}

interface Checked extends TlsMaterial {
  readonly from: Date
  readonly ends: Date
}
const read = (file: string): Promise<string> =>
  readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new TlsUnusable({ file, reason: error.code === "ENOENT" ? "there is no such file" : error.message })
  })
const readAll = async (files: TlsFiles): Promise<TlsMaterial> => {
  const [cert, key, ca] = await Promise.all([read(files.cert), read(files.key), read(files.ca)])
  return { cert, key, ca }
}
/** What stands in the files, if a node of that name can use it. Throws TlsUnusable. */
export const judged = (name: string, files: TlsFiles, { cert, key, ca }: TlsMaterial): Checked => {
  const wrong = (reason: string): TlsUnusable => new TlsUnusable({ file: files.cert, reason })
  const { own, between, from, ends } = pairIn(files, { cert, key })
  const authorities = certificates(files.ca, ca)
  if (ends.getTime() < Date.now())
    throw wrong(`it ended at ${ends.toISOString()}: make a new one (stepraft cert node ${name} --replace)`)
  if (from.getTime() > Date.now()) throw wrong(`it begins at ${from.toISOString()}: is this machine's clock right?`)
  // The name that the others find in it.
  const named = nameIn(own.toLegacyObject())
  if (named !== name)
    throw wrong(
      `it is for ${named === null ? "nobody" : shown(named, 80)}, and this node is ${name}: give it its own (stepraft cert node ${name})`,
    )
  // Without a list of purposes it could be anybody's: most tools make certificates of clients so.
  const purposes = own.keyUsage as readonly string[] | undefined
  if (![SERVER_AUTH, CLIENT_AUTH].every((purpose) => purposes?.includes(purpose) === true))
    throw wrong(
      `it was not made for a node, which is a server to some and a client to others: make one that is (stepraft cert node ${name})`,
    )
  if (!leads(own, between, authorities))
    throw wrong(`none of the authorities in ${files.ca} has signed it, so no other node would accept this one`)
  try {
    createSecureContext({ cert, key, ca })
  } catch (error) {
    throw wrong(`TLS does not accept it: ${error instanceof Error ? error.message : String(error)}`)
  }
  return { cert, key, ca, from, ends }
}

class Keeper implements Tls {
  private now: Checked
  private count = 0
  private looking = false
  private readonly options: TlsOptions
  private readonly listeners = new Set<() => void>()
  private readonly watched: Watched
  /** What was last said of the end of the certificate, and when. */
  private endTold: { readonly level: LogLevel; readonly at: number } | null = null

  constructor(options: TlsOptions, first: Checked) {
    this.options = options
    this.now = first
    this.watched = new Watched(options.log, {
      refused: "the new TLS files cannot be used, so the earlier ones stay in force",
      restored: "the TLS files are those in force again",
    })
  }

  readonly material = (): TlsMaterial => this.now
  readonly begins = (): Date => this.now.from
  readonly ends = (): Date => this.now.ends
  readonly renewal = (): Renewal => renewalOf(this.now, Date.now())
  readonly reloads = (): number => this.count
  readonly unusable = (): Unusable | null => this.watched.unusable()
  readonly onChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }
  /** Once a day that it will end, and every hour that it has. */
  private tellEnd(): void {
    const { name, files, log } = this.options
    const [at, ends] = [Date.now(), this.now.ends]
    if (this.renewal() === "later") return
    const level = at < ends.getTime() ? "warn" : "error"
    if (this.endTold?.level === level && at - this.endTold.at < (level === "warn" ? DAY : HOUR)) return
    this.endTold = { level, at }
    const advice = `stepraft cert node ${name} --replace on the authority's machine, then copy both files over the old ones; a restart is not needed`
    log(
      level,
      level === "warn"
        ? `the certificate in force (${files.cert}) ends at ${ends.toISOString()}, and after that no connection can be made with it. Replace it: ${advice}.`
        : `the certificate in force (${files.cert}) ended at ${ends.toISOString()}: no new connection can be made until it is replaced: ${advice}.`,
    )
  }
  private async tellExposed(): Promise<void> {
    const exposed = await exposedSecret(this.options.files.key, "whoever has this key is this node")
    if (exposed !== null) this.options.log("warn", exposed)
  }
  /** What is in force is new. */
  readonly begin = async (): Promise<void> => {
    this.endTold = null
    this.tellEnd()
    await this.tellExposed()
  }

  readonly look = async (): Promise<void> => {
    if (this.looking) return
    this.looking = true
    try {
      const { name, files, log } = this.options
      const found = await readAll(files)
      // They are not judged again: if their certificate has ended meanwhile, tellEnd says so.
      if (found.cert === this.now.cert && found.key === this.now.key && found.ca === this.now.ca)
        return this.watched.restore()
      this.now = judged(name, files, found)
      this.count += 1
      this.watched.replace()
      log("info", `new TLS files are in force; the certificate ends at ${this.now.ends.toISOString()}`)
      for (const listener of this.listeners) listener()
      await this.begin()
    } catch (error) {
      this.watched.refuse(error instanceof TlsUnusable ? `${error.file}: ${error.reason}` : String(error))
    } finally {
      this.looking = false
      this.tellEnd()
    }
  }
}

const EVERY_MS = 5000

/** Reads the files, and keeps checking them for as long as the scope is open. */
export const openTls = (options: TlsOptions): Effect.Effect<Tls, TlsUnusable, Scope.Scope> =>
  Effect.gen(function* () {
    const { files, name } = options
    const first = yield* Effect.tryPromise({
      try: async () => judged(name, files, await readAll(files)),
      catch: (error) =>
        error instanceof TlsUnusable ? error : new TlsUnusable({ file: files.cert, reason: String(error) }),
    })
    const keeper = new Keeper(options, first)
    yield* Effect.promise(keeper.begin)
    const look = (): void => void keeper.look()
    yield* Effect.acquireRelease(
      Effect.sync(() => setInterval(look, options.everyMs ?? EVERY_MS).unref()),
      (timer) => Effect.sync(() => clearInterval(timer)),
    )
    return keeper
  })
