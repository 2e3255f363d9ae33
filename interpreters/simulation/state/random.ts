/** A seeded generator of 32-bit integers (sfc32): the same on every engine, no floating-point functions. */
export interface Random {
  /** Uniform in [0, bound). */
  readonly below: (bound: number) => number
  /** Uniform in [min, max], whole numbers. */
  readonly between: (min: number, max: number) => number
  /** True in `permille` of a thousand cases. */
  readonly chance: (permille: number) => boolean
  readonly pick: <T>(items: readonly T[]) => T | undefined
}

export const makeRandom = (seed: number): Random => {
  let a = 0x9e3779b9 | 0
  let b = 0x243f6a88 | 0
  let c = seed | 0
  let counter = 1
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + t) | 0
    return t >>> 0
  }
  for (let i = 0; i < 12; i++) next()
  const below = (bound: number): number => (bound <= 1 ? 0 : next() % bound)
  return {
    below,
    between: (min, max) => min + below(max - min + 1),
    chance: (permille) => below(1000) < permille,
    pick: (items) => items[below(items.length)],
  }
}
