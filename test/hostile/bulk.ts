/** Parts that several attacks share: large values, and repetition until the time is over. */
import { setTimeout as sleep } from "node:timers/promises"
import { type Foe, type Wire } from "./foe.ts"

export const MEGABYTE = 1 << 20
/** A value of this size fits into an entry of 8 MB, with space for the command around it. */
export const BIG = 8_000_000
export const filler = (bytes: number, letter = "x"): Buffer => Buffer.alloc(bytes, letter)
export const repeated = (bytes: Uint8Array, count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => bytes))

export const putBig = async (foe: Foe, key = "big", bytes = BIG): Promise<void> => {
  for (let attempt = 0; attempt < 20; attempt++) {
    const wire = await foe.wire(attempt)
    const answer = await wire?.ask("SET", key, filler(bytes))
    const length = await wire?.ask("STRLEN", key)
    wire?.end()
    if (length === bytes) return
    foe.note(`SET ${key}: ${String(answer)}`)
    await sleep(200)
  }
  foe.complain(`a value of ${bytes} bytes could not be stored`)
}
/** The largest value that the store allows. */
export const putLargest = async (foe: Foe, key = "largest"): Promise<number> => {
  const wire = await foe.wire(0)
  let length = 0
  for (let part = 0; part < 8; part++) {
    const answer = await wire?.ask("APPEND", key, filler(BIG))
    if (typeof answer !== "number") {
      foe.note(`a value stops growing at ${length} bytes: ${String(answer)}`)
      break
    }
    length = answer
  }
  wire?.end()
  return length
}

/** Repeats on every node, each time on a new connection, until the time is over. */
export const again = async (foe: Foe, once: (wire: Wire) => Promise<void>, rounds = 1000): Promise<void> => {
  await Promise.all(
    foe.ports.map(async (_, node) => {
      for (let round = 0; round < rounds && !foe.over(); round++) {
        const wire = await foe.wire(node)
        if (wire === null) await sleep(100)
        else {
          await once(wire)
          wire.end()
        }
      }
    }),
  )
}
export const left = (foe: Foe): number => Math.max(0, foe.deadline - performance.now())
