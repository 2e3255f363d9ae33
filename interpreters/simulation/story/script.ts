/** Scripts: a seed, options and actions as plain JSON. The same script is the same world, on every engine. */
import type { Payload } from "../../../core/index.ts"
import { World } from "../world.ts"
import type { Action, Script, WorldHooks, WorldOptions } from "../state/types.ts"

/** Bytes in a script, which is JSON. */
export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

/** Runs the whole script and returns the world at its end. Throws what a hook throws. */
export const runScript = ({ seed, options, actions }: Script, hooks: WorldHooks = {}): World => {
  const world = new World({ ...options, ...hooks, seed })
  for (const action of actions) world.act(action)
  return world
}

const asProposal = (node: string, payloads: readonly Payload[]): Action => {
  const [first] = payloads
  const id = first?.checksum ?? 0
  const size = first?.bytes.length ?? 0
  const blank = payloads.every(
    ({ bytes, checksum }, i) => checksum === id + i && bytes.length === size && bytes.every((byte) => byte === 0),
  )
  if (blank && payloads.length > 0)
    return { type: "propose", node, id, bytes: size, ...(payloads.length === 1 ? {} : { count: payloads.length }) }
  return {
    type: "propose",
    node,
    id,
    payloads: payloads.map(({ bytes, checksum }) => ({ hex: toHex(bytes), checksum })),
  }
}

/** The action as plain JSON: bytes that a program injected become text. */
export const plainAction = (action: Action): Action =>
  action.type === "inject" && action.event.type === "Proposed" ? asProposal(action.node, action.event.payloads) : action

/** A trace does not accept a longer run in one action. */
const LONGEST_RUN = 3_600_000
/** The actions as plain JSON, with consecutive runs merged into one. */
const written = (actions: readonly Action[]): readonly Action[] => {
  const out: Action[] = []
  let ms = 0
  const rest = (): void => {
    for (; ms > 0; ms -= Math.min(ms, LONGEST_RUN)) out.push({ type: "run", ms: Math.min(ms, LONGEST_RUN) })
  }
  for (const action of actions) {
    if (action.type === "run") ms += action.ms
    else {
      rest()
      out.push(plainAction(action))
    }
  }
  rest()
  return out
}

/** A world that records its actions. */
export const recordedWorld = (
  options: WorldOptions,
  hooks: WorldHooks = {},
): { readonly world: World; readonly script: () => Script } => {
  const actions: Action[] = []
  const acted = (action: Action): void => {
    actions.push(action)
    hooks.acted?.(action)
  }
  const { seed, ...rest } = options
  return {
    world: new World({ ...options, ...hooks, acted }),
    script: () => ({ seed, options: rest, actions: written(actions) }),
  }
}
