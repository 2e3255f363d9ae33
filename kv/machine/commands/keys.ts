/** Commands about keys as such. */
import { OK, ONE, ZERO, err, integer, notAnInteger, syntaxError } from "../reply.ts"
import { type CommandHandler, type Item, type KeyspaceView, argument, parseInt64, upper } from "./view.ts"

export const type: CommandHandler = (view, args) => ({
  type: "simple",
  text: view.get(argument(args, 1)) === undefined ? "none" : "string",
})
export const del: CommandHandler = (view, args) => {
  let count = 0
  for (let i = 1; i < args.length; i++) {
    const key = argument(args, i)
    if (view.get(key) === undefined) continue
    view.delete(key)
    count++
  }
  return integer(count)
}
/** A key named twice counts twice. */
export const exists: CommandHandler = (view, args) => {
  let count = 0
  for (let i = 1; i < args.length; i++) if (view.get(argument(args, i)) !== undefined) count++
  return integer(count)
}

const noSuchKey = err("no such key")

/** Copies value and time to live to another key. A large value is written again: its checksum covers its key. */
const place = (view: KeyspaceView, from: Buffer, item: Item, to: Buffer): void =>
  view.put(to, view.value(from, item), item.expiry)

const renameWith =
  (over: boolean): CommandHandler =>
  (view, args) => {
    const from = argument(args, 1)
    const to = argument(args, 2)
    const item = view.get(from)
    if (item === undefined) return noSuchKey
    const done = over ? OK : ONE
    if (from.equals(to)) return over ? done : ZERO
    if (!over && view.get(to) !== undefined) return ZERO
    place(view, from, item, to)
    view.delete(from)
    return done
  }
export const rename = renameWith(true)
export const renamenx = renameWith(false)

const noSuchDatabase = err("DB index is out of range")

export const copy: CommandHandler = (view, args) => {
  let replace = false
  for (let i = 3; i < args.length; i++) {
    const name = upper(argument(args, i))
    const database = args[i + 1]
    if (name === "REPLACE") replace = true
    else if (name === "DB" && database !== undefined) {
      const index = parseInt64(database)
      if (index === undefined) return notAnInteger
      // There is only database 0.
      if (index !== 0n) return noSuchDatabase
      i++
    } else return syntaxError
  }
  const from = argument(args, 1)
  const to = argument(args, 2)
  if (from.equals(to)) return err("source and destination objects are the same")
  const item = view.get(from)
  if (item === undefined || (!replace && view.get(to) !== undefined)) return ZERO
  place(view, from, item, to)
  return ONE
}

/** One step, however many keys there are: see the generations in layout.ts. */
export const flush: CommandHandler = (view, args) => {
  const option = args[1]
  if (option !== undefined) {
    const name = upper(option)
    if (args.length > 2 || (name !== "ASYNC" && name !== "SYNC")) return syntaxError
  }
  view.clear()
  return OK
}
