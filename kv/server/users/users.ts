/**
 * Logins: which clients are accepted, and with which permissions. A wrong password takes as long to check as a right
 * one. Wrong ones are counted by address; after a few of them no password from that address is checked for a minute. A
 * right password is remembered for as long as it is valid, so that a thousand connections that return at once can log
 * in at once.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { readFile } from "node:fs/promises"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { limitedLog, type Logger } from "../../../interpreters/log.ts"
import { networkOf } from "../../../interpreters/strangers.ts"
import { exposedSecret, Watched, type Unusable } from "../../../interpreters/watched.ts"
import { parseUsers, type User, type UserList } from "./file.ts"
import { matches, decoyAmong, parseHash } from "./hash.ts"
import type { UserRole } from "./roles.ts"

export class UsersUnusable extends Data.TaggedError("UsersUnusable")<{
  readonly file: string
  readonly reason: string
}> {
  override get message(): string {
    return `the file of users, ${this.file}, cannot be used: ${this.reason}. Nothing was started, and nothing on disk was touched.`
  }
}
export interface Grant {
  readonly name: string
  readonly role: UserRole
  /** The password hash in the user's line at the time of the login; null: the login was by certificate. */
  readonly by: string | null
}
export type Login =
  | { readonly type: "granted"; readonly grant: Grant }
  | { readonly type: "wrong" }
  /** Too many wrong passwords came from that address. */
  | { readonly type: "locked"; readonly seconds: number }
  /** Too many other passwords are being checked. */
  | { readonly type: "busy" }

export interface UsersLimits {
  /** How many wrong passwords an address may give within a minute before it is locked out for a minute. */
  readonly maxFailedLogins: number
}
export interface UsersOptions {
  readonly file: string
  readonly log: Logger
  readonly limits?: Partial<UsersLimits>
  /** How often the file is checked, in milliseconds. Default 5,000. */
  readonly everyMs?: number
  readonly now?: () => number
}
export interface Users {
  /**
   * The permissions of a client without a login: by its certificate, or as the user default if that needs no password.
   */
  readonly arrives: (certified: string | null) => Grant | null
  readonly login: (name: string, password: Uint8Array, address: string) => Promise<Login>
  /** The present permissions of a user who has logged in; null: the user must be disconnected. */
  readonly still: (grant: Grant) => Grant | null
  readonly onChange: (listener: () => void) => () => void
  readonly look: () => Promise<void>
  readonly counts: () => { readonly users: number; readonly failed: number; readonly locked: number }
  /** The same on every node that has the same users, whatever their order and the comments in the file. */
  readonly digest: () => string
  /** Why the next start could not use what stands in the file; null: it could. */
  readonly unusable: () => Unusable | null
}

const MINUTE = 60_000
/** How many checks run at a time, each with 16 MB and a thread; and how many may wait for them. */
const AT_ONCE = 1
const WAITING = 256
/** How many addresses are remembered. */
const ADDRESSES = 4096
const EVERY_MS = 5000
const MOST_PASSWORD = 512
const DIGEST_DIGITS = 16

const digestOf = (list: UserList): string =>
  createHash("sha256")
    .update(
      Array.from(list.values(), ({ name, role, password }) => `${name} ${role} ${password}\n`)
        .toSorted()
        .join(""),
    )
    .digest("hex")
    .slice(0, DIGEST_DIGITS)

const granted = ({ name, role, password }: User): Grant => ({ name, role, by: password })
const read = async (file: string): Promise<{ readonly text: string; readonly list: UserList }> => {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new UsersUnusable({ file, reason: error.code === "ENOENT" ? "there is no such file" : error.message })
  })
  const list = parseUsers(text)
  if (typeof list === "string") throw new UsersUnusable({ file, reason: list })
  return { text, list }
}

class Keeper implements Users {
  private list: UserList
  private text: string
  private readonly options: UsersOptions
  private readonly most: number
  private readonly now: () => number
  private readonly listeners = new Set<() => void>()
  private readonly tell: ReturnType<typeof limitedLog>
  private readonly secret = randomBytes(32)
  /** By the hash in a user's line: a digest of the password that was found to be right. */
  private readonly proven = new Map<string, Buffer>()
  private readonly failures = new Map<string, { count: number; since: number }>()
  private readonly checking = new Map<
    string,
    { readonly right: Promise<boolean | null>; readonly addresses: Set<string> }
  >()
  private running = 0
  private readonly waiting: (() => void)[] = []
  private failed = 0
  private locked = 0
  private readonly watched: Watched
  private digested: { readonly of: UserList | null; readonly digest: string } = { of: null, digest: "" }

  constructor(options: UsersOptions, { text, list }: { readonly text: string; readonly list: UserList }) {
    this.options = options
    this.text = text
    this.list = list
    this.most = options.limits?.maxFailedLogins ?? 10
    this.now = options.now ?? (() => performance.now())
    this.tell = limitedLog(options.log)
    this.watched = new Watched(
      options.log,
      {
        refused: "the new file of users cannot be used, so the earlier one stays in force",
        restored: "the file of users is the one in force again",
      },
      this.now,
    )
  }

  readonly counts = (): { readonly users: number; readonly failed: number; readonly locked: number } => ({
    users: this.list.size,
    failed: this.failed,
    locked: this.locked,
  })
  readonly digest = (): string => {
    if (this.digested.of !== this.list) this.digested = { of: this.list, digest: digestOf(this.list) }
    return this.digested.digest
  }
  readonly unusable = (): Unusable | null => {
    const found = this.watched.unusable()
    return found === null ? null : { ...found, reason: `${this.options.file}: ${found.reason}` }
  }
  readonly onChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }
  readonly arrives = (certified: string | null): Grant | null => {
    const user = this.list.get(certified ?? "default")
    if (user === undefined) return null
    if (certified !== null) return { ...granted(user), by: null }
    return user.password === "nopass" ? granted(user) : null
  }
  readonly still = ({ name, by }: Grant): Grant | null => {
    const user = this.list.get(name)
    return user === undefined || (by !== null && by !== user.password) ? null : { ...granted(user), by }
  }

  private lockedFor(address: string): number {
    const found = this.failures.get(address)
    if (found === undefined) return 0
    const left = found.since + MINUTE - this.now()
    if (left <= 0) this.failures.delete(address)
    return left > 0 && found.count >= this.most ? left : 0
  }
  private guessed(from: string): void {
    this.failed += 1
    const address = networkOf(from)
    const found = this.failures.get(address)
    if (found === undefined) {
      const [oldest] = this.failures.keys()
      if (this.failures.size >= ADDRESSES && oldest !== undefined) this.failures.delete(oldest)
    }
    const count = (found?.count ?? 0) + 1
    // The minute of the lockout begins with the last wrong password.
    const since = found === undefined || count === this.most ? this.now() : found.since
    this.failures.set(address, { count, since })
    if (count === this.most)
      // Not the names that were tried: people type passwords there.
      this.tell(
        `locked ${address}`,
        "warn",
        `${address} is locked out until ${new Date(Date.now() + MINUTE).toISOString()}, after ${this.most} wrong passwords: none from there is checked until then`,
      )
    else
      this.tell(
        `wrong ${address}`,
        "warn",
        `a client at ${from} gave a wrong name or password; after ${this.most} within a minute no password from there is checked for a minute`,
      )
  }

  readonly login = async (name: string, password: Uint8Array, from: string): Promise<Login> => {
    const address = networkOf(from)
    const left = this.lockedFor(address)
    if (left > 0) {
      this.locked += 1
      return { type: "locked", seconds: Math.ceil(left / 1000) }
    }
    const user = this.list.get(name)
    if (user?.password === "nopass") return { type: "granted", grant: granted(user) }
    const right = password.length <= MOST_PASSWORD ? await this.proves(name, password, address) : false
    if (right === null) return { type: "busy" }
    if (right && user !== undefined) {
      // The user's line may have changed meanwhile; a password that was right until then does not count as a wrong one.
      const now = this.list.get(name)
      return now?.password === user.password ? { type: "granted", grant: granted(now) } : { type: "wrong" }
    }
    this.guessed(from)
    return { type: "wrong" }
  }

  /** null: too many checks are waiting. */
  private proves(name: string, password: Uint8Array, address: string): Promise<boolean | null> {
    const user = this.list.get(name)
    const digest = createHmac("sha256", this.secret).update(password).digest()
    const known = user === undefined ? undefined : this.proven.get(user.password)
    if (known !== undefined && timingSafeEqual(known, digest)) return Promise.resolve(true)
    // After a restart all clients come at once with the same: that is one check. With another name it is another, or
    // the time would tell which names do not exist.
    const key = `${user?.password ?? ""} ${digest.toString("base64")} ${name}`
    const same = this.checking.get(key)
    if (same !== undefined) {
      same.addresses.add(address)
      return same.right
    }
    const addresses = new Set([address])
    const right = this.check(user, password, digest, addresses).finally(() => this.checking.delete(key))
    this.checking.set(key, { right, addresses })
    return right
  }
  private async check(
    user: User | undefined,
    password: Uint8Array,
    digest: Buffer,
    addresses: ReadonlySet<string>,
  ): Promise<boolean | null> {
    if (this.running >= AT_ONCE) {
      if (this.waiting.length >= WAITING) return null
      await new Promise<void>((resolve) => this.waiting.push(resolve))
    } else this.running += 1
    try {
      // Its address may have been locked while it waited.
      if ([...addresses].every((one) => this.lockedFor(one) > 0)) return false
      const kept = user === undefined ? null : parseHash(user.password)
      const right =
        (await matches(password, kept ?? decoyAmong(Array.from(this.list.values(), (one) => one.password)))) &&
        kept !== null
      if (right && user !== undefined) this.proven.set(user.password, digest)
      return right
    } finally {
      // Its place goes to the next waiting check.
      const next = this.waiting.shift()
      if (next === undefined) this.running -= 1
      else next()
    }
  }

  readonly tellExposed = async (): Promise<void> => {
    const exposed = await exposedSecret(this.options.file, "it holds the users and the hashes of their passwords")
    if (exposed !== null) this.options.log("warn", exposed)
  }

  readonly look = async (): Promise<void> => {
    try {
      const { text, list } = await read(this.options.file)
      if (text === this.text) return this.watched.restore()
      this.text = text
      this.list = list
      this.proven.clear()
      // Whoever has repaired the file must be able to log in.
      this.failures.clear()
      this.watched.replace()
      this.options.log("info", `new users are in force: ${list.size} of them`)
      for (const listener of this.listeners) listener()
      await this.tellExposed()
    } catch (error) {
      this.watched.refuse(error instanceof UsersUnusable ? error.reason : String(error))
    }
  }
}

/** Reads the file, and keeps checking it for as long as the scope is open. */
export const openUsers = (options: UsersOptions): Effect.Effect<Users, UsersUnusable, Scope.Scope> =>
  Effect.gen(function* () {
    const { file } = options
    const first = yield* Effect.tryPromise({
      try: () => read(file),
      catch: (error) => (error instanceof UsersUnusable ? error : new UsersUnusable({ file, reason: String(error) })),
    })
    const keeper = new Keeper(options, first)
    yield* Effect.promise(keeper.tellExposed)
    yield* Effect.acquireRelease(
      Effect.sync(() => setInterval(() => void keeper.look(), options.everyMs ?? EVERY_MS).unref()),
      (timer) => Effect.sync(() => clearInterval(timer)),
    )
    return keeper
  })
