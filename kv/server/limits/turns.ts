/**
 * Schedules the connections. They share the event loop with the node's peers and its disk, so all of them together get
 * a few milliseconds per turn of the loop, and none gets more than a slice while others wait. A connection with more
 * work is queued.
 */

/** The slice of one connection, and of all connections in one turn of the event loop. */
const sliceMs = 2
const turnMs = 6

export interface Job {
  /** Whether it is queued. Only the scheduler changes it. */
  queued: boolean
  /** Works until about the given time; returns true if there is more to do. */
  readonly work: (until: number) => boolean
}

export class Turns {
  readonly now: () => number
  private readonly later: (round: () => void) => void
  private line: Job[] = []
  private first = 0
  /** When the present turn of all connections ends; null: none has started since the event loop last turned. */
  private ends: number | null = null
  private working = false

  /** `later` calls back once the event loop has turned. */
  constructor(now: () => number = () => performance.now(), later: (round: () => void) => void = setImmediate) {
    this.now = now
    this.later = later
  }

  /** Runs the job at once if there is time and no other waits, otherwise in its turn. */
  run(job: Job): void {
    if (job.queued) return
    if (this.working || this.first < this.line.length) {
      this.stand(job)
      return
    }
    const now = this.now()
    if (this.ends === null) {
      this.ends = now + turnMs
      this.later(this.round)
    }
    if (now >= this.ends || this.one(job, now, this.ends)) this.stand(job)
  }

  private stand(job: Job): void {
    job.queued = true
    this.line.push(job)
    if (this.ends !== null) return
    this.ends = this.now()
    this.later(this.round)
  }

  private one(job: Job, now: number, ends: number): boolean {
    this.working = true
    try {
      return job.work(Math.min(now + sliceMs, ends))
    } finally {
      this.working = false
    }
  }

  /** The event loop has turned. */
  private readonly round = (): void => {
    let now = this.now()
    const ends = now + turnMs
    this.ends = null
    while (this.first < this.line.length && now < ends) {
      const job = this.line[this.first++]
      if (job === undefined) break
      job.queued = false
      if (this.one(job, now, ends)) this.stand(job)
      now = this.now()
    }
    if (this.first === this.line.length) {
      this.line = []
      this.first = 0
      return
    }
    if (this.first > 1024) {
      this.line = this.line.slice(this.first)
      this.first = 0
    }
    // Connections that wait come first.
    if (this.ends === null) this.later(this.round)
    this.ends = now
  }
}
