/** Commands about keys as such. */
import { OK, integer, syntaxError } from "./reply.ts"
import { type Handler, argument, upper } from "./view.ts"

export const type: Handler = (view, args) => ({ type: "simple", text: view.get(argument(args, 1)) === undefined ? "none" : "string" })
export const del: Handler = (view, args) => {
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
export const exists: Handler = (view, args) => {
  let count = 0
  for (let i = 1; i < args.length; i++) if (view.get(argument(args, i)) !== undefined) count++
  return integer(count)
}

/** One step whatever the size: see the generations of layout.ts. */
export const flush: Handler = (view, args) => {
  const option = args[1]
  if (option !== undefined) {
    const name = upper(option)
    if (args.length > 2 || (name !== "ASYNC" && name !== "SYNC")) return syntaxError
  }
  view.clear()
  return OK
}
