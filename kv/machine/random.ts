/**
 * RANDOMKEY: each key is as likely as any other. That takes a walk over all of them, so a walk draws some hundred at
 * once; those that are still there are given out one by one, and only then is drawn again.
 */
import { bulk, NULL } from "./reply.ts"
import type { Scan } from "./scan.ts"
import type { Reply } from "../types.ts"

const DRAWN = 256
/** Of keys that are kept, all together. */
const MOST_BYTES = 1 << 20
const NOTHING = Buffer.alloc(0)

export class Draw {
  private keys: Buffer[] = []

  /** One that was drawn before and is still there. */
  take(isThere: (key: Buffer) => boolean): Reply | null {
    for (let key = this.keys.pop(); key !== undefined; key = this.keys.pop()) if (isThere(key)) return bulk(key)
    return null
  }

  /** A walk over all keys that draws anew: of n keys seen so far each has been drawn with the same chance. */
  plan(): Scan {
    const drawn: Buffer[] = []
    let seen = 0
    const visit = (key: Buffer, _: number, live: boolean): boolean => {
      if (!live) return true
      const place = seen < DRAWN ? seen : Math.floor(Math.random() * (seen + 1))
      seen++
      // Copied: a view would keep the page that it was read with.
      if (place < DRAWN) drawn[place] = Buffer.from(key)
      return true
    }
    const reply = (): Reply => {
      // The first keys of the walk stand first.
      for (let i = drawn.length - 1; i > 0; i--) {
        const j = Math.floor(Math.random() * (i + 1))
        const [a = NOTHING, b = NOTHING] = [drawn[i], drawn[j]]
        drawn[i] = b
        drawn[j] = a
      }
      const [first] = drawn
      if (first === undefined) return NULL
      let bytes = 0
      this.keys = drawn.slice(1).filter((key) => (bytes += key.length) <= MOST_BYTES)
      return bulk(first)
    }
    return { from: 0, visit, reply }
  }
}
