/** Clients in virtual time: generators that yield how long they sleep (ms), or what they wait for. */
import type { World } from "../world.ts"

/** Milliseconds to sleep; or a condition, checked after every event, with a limit in milliseconds. */
export type Wait = number | { readonly until: () => boolean; readonly limit: number }
export type StoryWork<T> = Generator<Wait, T, void>

export interface StoryTask<T> {
  readonly done: boolean
  /** The result of a task that is done. Throws what the task threw. */
  readonly result: () => T
}

class Running<T> implements StoryTask<T> {
  done = false
  wakeAt: number
  until: (() => boolean) | null = null
  private outcome: { readonly value: T } | { readonly error: unknown } | null = null
  private readonly work: StoryWork<T>
  constructor(work: StoryWork<T>, now: number) {
    this.work = work
    this.wakeAt = now
  }
  ready(now: number): boolean {
    return this.wakeAt <= now || this.until?.() === true
  }
  advance(now: number): void {
    try {
      const next = this.work.next()
      if (next.done === true) this.finish({ value: next.value })
      else {
        const wait = next.value
        this.until = typeof wait === "number" ? null : wait.until
        this.wakeAt = now + (typeof wait === "number" ? wait : wait.limit)
      }
    } catch (error) {
      this.finish({ error })
    }
  }
  private finish(outcome: { readonly value: T } | { readonly error: unknown }): void {
    this.outcome = outcome
    this.done = true
  }
  result(): T {
    if (this.outcome === null) throw new Error("the task is not done")
    if ("error" in this.outcome) throw this.outcome.error
    return this.outcome.value
  }
}

/** An exception in a client stops the code that advances time. */
export class Tasks {
  private running: Running<unknown>[] = []

  /** Runs at once, until it waits for the first time. */
  add<T>(work: StoryWork<T>, now: number): StoryTask<T> {
    const task = new Running(work, now)
    task.advance(now)
    if (task.done) task.result()
    else this.running.push(task)
    return task
  }
  /** Runs every client whose waiting is over, in the order of their starts, until all wait again. */
  advance(now: number): void {
    for (let busy = true; busy;) {
      busy = false
      // A client that is started meanwhile is in the list at once.
      for (const task of this.running) {
        if (task.done || !task.ready(now)) continue
        task.advance(now)
        busy = true
      }
      const ended = this.running.filter(({ done }) => done)
      if (ended.length === 0) continue
      this.running = this.running.filter(({ done }) => !done)
      for (const task of ended) task.result()
    }
  }
  /** When the next client wakes up at the latest; a condition may come true before. */
  wakes(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { wakeAt } of this.running) if (wakeAt < next) next = wakeAt
    return next
  }
  /** Whether a client waits for a condition. */
  watches(): boolean {
    return this.running.some(({ until }) => until !== null)
  }
}

const NEVER = (): boolean => false

/** Runs the world and all clients in it until `end` (virtual ms), or until `enough` holds. */
export const runTasks = (world: World, tasks: Tasks, end: number, enough: () => boolean = NEVER): void => {
  const watched = enough !== NEVER
  for (tasks.advance(world.now); world.now < end && !enough(); tasks.advance(world.now)) {
    let to = Math.min(end, tasks.wakes())
    if (watched || tasks.watches()) to = Math.min(to, world.next ?? to)
    world.run(Math.max(to - world.now, 0))
  }
}
