/**
 * The coverage-guided loop: an input is kept if it enters a block that none has entered, or one more often (by orders of
 * magnitude) than any has. Runs in a thread of its own, which has the instrumented parser.
 */
import { getHeapStatistics } from "node:v8"
import { parentPort, workerData } from "node:worker_threads"
import { seeded } from "../disk.ts"
import { mutated, pick } from "./mutate.ts"
import { Broken, type Parser } from "./parser.ts"

export interface Order {
  readonly parser: string
  readonly bundle: string
  readonly blocks: number
  readonly words: readonly string[]
  readonly corpus: readonly Uint8Array[]
  readonly seconds: number
  readonly seed: number
  /** Shared: the number of executions, the length of the present input, and the input. */
  readonly shared: SharedArrayBuffer
  /** Only the first of these, without changes. */
  readonly replay: Uint8Array | null
}
export interface Found {
  readonly input: Uint8Array
  readonly error: string
  readonly stack: string
}
export interface Tally {
  readonly executions: number
  readonly seconds: number
  readonly covered: number
  readonly corpus: number
  readonly kept: readonly Uint8Array[]
}
export type Report =
  | { readonly type: "tally"; readonly tally: Tally }
  | { readonly type: "found"; readonly found: Found; readonly tally: Tally }
  | { readonly type: "done"; readonly tally: Tally }

export const HEAD = 8
/** Seconds that this process has worked: they do not pass while it is stopped, or waits for its turn. */
export const worked = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
const MB = 1 << 20
const HEAP = { least: 96 * MB, each: 65_536 }
const WORK = { least: 100_000, each: 2_000 }

/** 1, 2, 3, 4–7, 8–15, 16–31, 32–127, more: each a bit. */
const bucketOf = (count: number): number =>
  count < 4 ? count - 1 : count < 8 ? 3 : count < 16 ? 4 : count < 32 ? 5 : count < 128 ? 6 : 7

export const fuzz = async (
  parser: Parser,
  order: Order,
  blocks: Uint32Array,
  tell: (report: Report) => void,
): Promise<void> => {
  const counters = new Int32Array(order.shared, 0, 2)
  const current = new Uint8Array(order.shared, HEAD)
  const random = seeded(order.seed)
  const seen = new Uint8Array(order.blocks)
  let covered = 0
  const corpus: Buffer[] = []
  const started = worked()
  let executions = 0
  const tally = (): Tally => ({ executions, seconds: worked() - started, covered, corpus: corpus.length, kept: [] })
  const work = parser.work ?? WORK

  /** null: it is as it must be. */
  const failure = async (input: Buffer): Promise<Error | null> => {
    current.set(input.subarray(0, current.length))
    counters[1] = input.length
    Atomics.store(counters, 0, ++executions)
    blocks.fill(0)
    const before = getHeapStatistics()
    try {
      // A copy: what a parser does to its input must not change what is kept.
      const ended = parser.check(Buffer.from(input))
      if (ended !== undefined) await ended
    } catch (error) {
      return error instanceof Error ? error : new Error(`thrown: ${String(error)}`)
    }
    const after = getHeapStatistics()
    const grown = after.used_heap_size - before.used_heap_size + after.external_memory - before.external_memory
    if (grown > HEAP.least + HEAP.each * input.length)
      return new Broken(`${input.length} bytes took ${Math.round(grown / MB)} MB of memory`)
    let done = 0
    for (let at = 0; at < blocks.length; at++) done += blocks[at] ?? 0
    if (done > work.least + work.each * input.length)
      return new Broken(`${input.length} bytes made it enter ${done} blocks`)
    return null
  }
  const isNews = (): boolean => {
    let news = false
    for (let at = 0; at < order.blocks; at++) {
      const count = blocks[at] ?? 0
      if (count === 0) continue
      const known = seen[at] ?? 0
      const bit = 1 << bucketOf(count)
      if ((known & bit) !== 0) continue
      if (known === 0) covered++
      seen[at] = known | bit
      news = true
    }
    return news
  }
  const shrunk = async (input: Buffer, like: string): Promise<Buffer> => {
    const same = async (smaller: Buffer): Promise<boolean> => {
      const error = await failure(smaller)
      return error !== null && kindOf(error) === like
    }
    let best = input
    const end = worked() + 10
    for (let size = Math.ceil(best.length / 2); size >= 1 && worked() < end; size = Math.floor(size / 2))
      for (let at = 0; at < best.length && worked() < end;) {
        const without = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
        const mended = parser.mend?.(without) ?? without
        if (await same(without)) best = without
        else if (mended.length < best.length && (await same(mended))) best = mended
        else at += size
      }
    return best
  }
  const report = async (input: Buffer, error: Error): Promise<void> => {
    const smallest = order.replay === null ? await shrunk(input, kindOf(error)) : input
    const last = (await failure(smallest)) ?? error
    tell({
      type: "found",
      found: { input: Uint8Array.from(smallest), error: `${last.name}: ${last.message}`, stack: last.stack ?? "" },
      tally: tally(),
    })
  }

  if (order.replay !== null) {
    const error = await failure(Buffer.from(order.replay))
    if (error !== null) await report(Buffer.from(order.replay), error)
    else tell({ type: "done", tally: tally() })
    return
  }
  for (const seed of [...order.corpus, ...parser.seeds()]) {
    const input = Buffer.from(seed)
    const error = await failure(input)
    if (error !== null) return report(input, error)
    isNews()
    corpus.push(input)
  }
  if (corpus.length === 0) corpus.push(Buffer.alloc(0))
  const real = corpus.length
  // Its own words are few and chosen: they come as often as all that stand in its source.
  const own = parser.words ?? []
  const times = own.length === 0 ? 0 : Math.ceil(order.words.length / own.length)
  const words = [...order.words, ...Array.from({ length: times }, () => own).flat()]
  const end = started + order.seconds
  let told = started
  for (;;) {
    const now = worked()
    if (now >= end) break
    if (now - told > 5) {
      told = now
      tell({ type: "tally", tally: tally() })
      // Lets the messages out.
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (let turn = 0; turn < 64; turn++) {
      // What was kept last leads on most often; real inputs are the nearest to one that is taken.
      const luck = random()
      const from = luck < 0.4 ? corpus.slice(-16) : luck < 0.6 ? corpus.slice(0, real) : corpus
      const input = pick(random, from) ?? Buffer.alloc(0)
      let changed = mutated(input, { random, words, other: pick(random, corpus) ?? input })
      if (parser.mend !== undefined && random() < 0.8) changed = parser.mend(changed)
      const error = await failure(changed)
      if (error !== null) return report(changed, error)
      if (isNews()) corpus.push(Buffer.from(changed))
    }
  }
  tell({ type: "done", tally: { ...tally(), kept: corpus.map((one) => Uint8Array.from(one)) } })
}

/** Two failures of one kind are taken for the same: by their text without what varies in it. */
const kindOf = (error: Error): string => `${error.name} ${error.message.replaceAll(/\d+|".*|'.*/gs, "").slice(0, 40)}`

/** In the thread. */
export const begin = async (parsers: readonly Parser[]): Promise<void> => {
  const order = workerData as Order
  const parser = parsers.find(({ name }) => name === order.parser)
  if (parser === undefined) throw new Error(`there is no parser ${order.parser}`)
  const blocks = (globalThis as unknown as { readonly fuzzBlocks: Uint32Array }).fuzzBlocks
  await fuzz(parser, order, blocks, (report) => parentPort?.postMessage(report))
}
