/**
 * A replica whose state is a SQLite database: give it a schema and what a command does. Node has SQLite from 22.5 on
 * (node:sqlite); on older versions it is the package libsql, which is called alike.
 */
import { closeSync, fsyncSync, openSync } from "node:fs"
import { join } from "node:path"
import type { DurableMachine } from "stepraft"

export type Row = Readonly<Record<string, unknown>>
export interface Database {
  readonly exec: (sql: string) => void
  readonly prepare: (sql: string) => {
    readonly run: (...values: readonly unknown[]) => unknown
    readonly all: (...values: readonly unknown[]) => Row[]
  }
  readonly close: () => void
}
type Opened = new (file: string) => Database
const load = async (): Promise<Opened> => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  const name = major > 22 || (major === 22 && minor >= 5) ? "node:sqlite" : "libsql"
  const found = (await import(name)) as { readonly DatabaseSync?: Opened; readonly default: Opened }
  return found.DatabaseSync ?? found.default
}
/** Of the machine, not of a statement: busy, locked, memory, read-only, interrupted, disk I/O, corrupt, full, cannot open, no database. */
const OWN: ReadonlySet<number> = new Set([5, 6, 7, 8, 9, 10, 11, 13, 14, 26])
const OWN_NAME = /^SQLITE_(?:BUSY|LOCKED|NOMEM|READONLY|INTERRUPT|IOERR|CORRUPT|FULL|CANTOPEN|NOTADB)/
const isOwn = (thrown: unknown): boolean => {
  if (!(thrown instanceof Error)) return false
  const { errcode, code } = thrown as { readonly errcode?: unknown; readonly code?: unknown }
  return (typeof errcode === "number" && OWN.has(errcode & 0xff)) || (typeof code === "string" && OWN_NAME.test(code))
}
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`

export interface InSqlite<Command, Result> {
  readonly schema: string
  /** Ask for an order wherever rows have one, and never for the time: every server must do the same. */
  readonly apply: (db: Database, command: Command, at: { readonly index: number; readonly time: number }) => Result
}
export const inSqlite = <Command, Result>({
  schema,
  apply,
}: InSqlite<Command, Result>): DurableMachine<Database, Command, Result> => ({
  open: async (directory) => {
    const SQLite = await load()
    const db = new SQLite(join(directory, "state.db"))
    // Durable when we ask for it (sync), whole at any time.
    db.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE IF NOT EXISTS replica (record TEXT PRIMARY KEY, value BLOB); ${schema}`,
    )
    const put = db.prepare("INSERT OR REPLACE INTO replica VALUES (?, ?)")
    const remove = db.prepare("DELETE FROM replica WHERE record = ?")
    const within = <A>(begin: string, end: string, undo: string, work: () => A): A => {
      db.exec(begin)
      try {
        const result = work()
        db.exec(end)
        return result
      } catch (error) {
        try {
          db.exec(undo)
        } catch {
          // SQLite itself has rolled the transaction back: what was thrown first says why.
        }
        throw error
      }
    }
    const transaction = (work: () => void): void => within("BEGIN", "COMMIT", "ROLLBACK", work)
    return {
      state: db,
      apply: (command, at) => apply(db, command, at),
      attempt: (work) => within("SAVEPOINT command", "RELEASE command", "ROLLBACK TO command; RELEASE command", work),
      isOwn,
      transaction: (work) =>
        transaction(() => work((record, value) => void (value === null ? remove.run(record) : put.run(record, value)))),
      records: () =>
        db
          .prepare("SELECT record, value FROM replica")
          .all()
          .map(({ record, value }) => [String(record), new Uint8Array(value as ArrayBuffer)] as const),
      sync: () => {
        const [done] = db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").all()
        if (Number(done?.["busy"] ?? 1) === 0) return
        // Another process reads: the write-ahead log stays, so that must be on the disk.
        const wal = openSync(join(directory, "state.db-wal"), "r+")
        try {
          fsyncSync(wal)
        } finally {
          closeSync(wal)
        }
      },
      copyTo: (file) => db.exec(`VACUUM INTO ${quoted(file)}`),
      becomeCopy: (file) => {
        db.exec(`ATTACH ${quoted(file)} AS copy`)
        try {
          transaction(() => {
            for (const { name } of db.prepare("SELECT name FROM copy.sqlite_schema WHERE type = 'table'").all()) {
              db.exec(
                `DELETE FROM main."${String(name)}"; INSERT INTO main."${String(name)}" SELECT * FROM copy."${String(name)}"`,
              )
            }
          })
        } finally {
          db.exec("DETACH copy")
        }
      },
      close: () => db.close(),
    }
  },
})
