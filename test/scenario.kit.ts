/**
 * What the acceptance scenarios add to the stories of the simulation: invariants at every step, frames counted with
 * their size on a socket, a test for each ID, and pass rates over many seeds.
 *
 * The time that the scenarios call T, in which an election should be over, is 1,000 ms. The default settings fit it:
 * ten heartbeats a second, election timeouts of 500–1,000 ms. A hop and a persist take 1 ms each. All time is virtual.
 */
import { expect, onTestFinished, test } from "vitest"
import type { CommandEntry, Message, Settings } from "../core/index.ts"
import { ByteWriter } from "../interpreters/bytes.ts"
import { cluster, StoryFailed, type Cluster, type ClusterOptions } from "../interpreters/simulation/index.ts"
import { writeMessage } from "../interpreters/tcp/codec.ts"
import { FRAME_HEADER } from "../interpreters/tcp/frame.ts"
import { makeInvariantChecker, saveStory } from "../spec/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { scenarios, type ScenarioId } from "./scenario.ids.ts"

/** T of the scenarios: what an election may take. */
export const T = 1000
/** No scenario may take longer than this, in virtual time. */
const LONGEST = 120_000

/** Settings of a service that takes a snapshot each time that it has executed ten commands more: 16 bytes each, counted as 64. */
export const everyTen: Partial<Settings> = { snapshotBytes: 10 * (16 + 48) - 1, trailingLogBytes: 0 }

const writer = new ByteWriter()
/** Bytes of a frame on a socket; what a snapshot carries is not counted. */
export const weigh = (message: Message): number => {
  writer.reset()
  writeMessage(writer, message, message.type === "InstallSnapshot" ? new Uint8Array() : null)
  return writer.length + FRAME_HEADER
}

export interface ScenarioOptions extends ClusterOptions {
  /** Default 3. */
  readonly servers?: number
  /** The story writes disks by hand: a start may find something else than was persisted. */
  readonly handmade?: boolean
}
/**
 * The last cluster of the running test: if the test fails, its world is saved, and the message names the command that
 * opens it.
 */
let latest: Cluster | null = null
const tellOf = (c: Cluster): void => {
  if (latest === null)
    onTestFinished(({ task }) => {
      const [thrown] = task.result?.errors ?? []
      const told =
        thrown === undefined || latest === null
          ? null
          : saveStory(latest, Object.assign(new Error(thrown.message), { name: thrown.name }))
      latest = null
      if (told !== null) console.error(`${task.name}\n  saved as ${told.file}; open it with: ${told.command}`)
    })
  latest = c
}

/** A cluster whose every step is checked. */
export const watched = ({ servers = 3, handmade = false, ...options }: ScenarioOptions = {}): Cluster => {
  const check = makeInvariantChecker()
  const c = cluster(servers, {
    ...options,
    observe: (step) => {
      options.observe?.(step)
      check(step)
    },
    started: (node, recovered, wentBack) => {
      if (!handmade) check.started(node, recovered, wentBack)
      options.started?.(node, recovered, wentBack)
    },
  })
  tellOf(c)
  return c
}

export const offers = (c: Cluster, name: string, count: number): void => {
  for (let i = 0; i < count; i++) c.offer(name, c.fresh())
}
/** The value of a text or number when it was offered. */
export const said = (entry: CommandEntry | null): unknown =>
  entry === null ? null : JSON.parse(new TextDecoder().decode(entry.payload.bytes))
/** Distinguishes commands. */
export const valuesOf = (c: Cluster): readonly number[] => c.agreement.commands.map(({ payload }) => payload.checksum)

export type Story = (c: Cluster) => void

const tell = (options: ScenarioOptions, story: Story): void => {
  const c = watched(options)
  story(c)
  expect(c.now).toBeLessThanOrEqual(LONGEST)
}

/** A test named by its ID. */
export const scenario = (id: ScenarioId, options: ScenarioOptions, story: Story): void => {
  test(`${id} ${scenarios[id]}`, () => tell(options, story))
}

/**
 * The same story for many seeds, in the long suites (200 in a soak): counts how many pass. A broken invariant always
 * fails; stories that only take too long are counted, and at most `missesPermille` may.
 */
export const scenarioOverSeeds = (
  id: ScenarioId,
  options: ScenarioOptions,
  story: Story,
  missesPermille: number,
  seeds = many(200, 40),
): void => {
  if (!full) return
  test(`${id} ${scenarios[id]}, pass rate over ${seeds} seeds`, { timeout: 1_800_000 }, () => {
    const missed: string[] = []
    for (let seed = 1; seed <= seeds; seed++) {
      try {
        tell({ ...options, seed }, story)
      } catch (error) {
        if (!(error instanceof StoryFailed)) throw new Error(`seed ${seed}`, { cause: error })
        missed.push(error.message)
      }
    }
    console.log(`${id}: ${seeds - missed.length} of ${seeds} seeds pass`)
    expect(missed.length, missed.join("\n")).toBeLessThanOrEqual((seeds * missesPermille) / 1000)
  })
}
