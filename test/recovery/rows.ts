/** The rows of the table: what happens, and what counts as recovered. */

/**
 * The event that ends the measured time of a row. Each is defined here, once, for the simulation, for real processes
 * and for etcd.
 */
export const measures = {
  write: "a write that was sent after the event is acknowledged at a node that is not hurt",
  everywhere: "a write that was sent after the event is executed by every node",
  current: "the node has executed everything that was committed when it returned",
  voter: "the node votes again under its new disk, and has executed everything that was committed when it returned",
  leader: "another node leads",
  gap: "not a time from an event: the longest time between two acknowledged writes while it goes on, with a client at every node that is up",
} as const
export type Measure = keyof typeof measures

export interface Row {
  readonly title: string
  readonly measure: Measure
  /** Of the Go system that this one replaces, as stated in the mission: median and maximum in milliseconds. */
  readonly original?: readonly [median: number, max: number]
}
const row = (title: string, measure: Measure, original?: readonly [number, number]): Row => ({
  title,
  measure,
  ...(original === undefined ? {} : { original }),
})

export const rows = {
  "follower-cut": row("a follower is cut off", "gap"),
  "follower-return": row("it returns, 20 entries behind", "current", [1320, 1870]),
  "leader-cut-leader": row("the leader is cut off: new leader", "leader", [1020, 1630]),
  "leader-cut": row("the leader is cut off: next write", "write", [1170, 1760]),
  "old-leader-return": row("the old leader returns", "current", [67, 114]),
  "leader-killed": row("the leader's process is killed", "write"),
  "leader-paused": row("the leader's process is suspended", "write"),
  "leader-resumed": row("it is resumed", "current"),
  "majority-healed": row("a majority is cut off for 3 s, then returns", "everywhere", [2080, 2140]),
  partition: row("partition, the leader on the smaller side", "write"),
  "partition-healed": row("the partition heals", "everywhere"),
  "leader-mute": row("one-way partition: nobody hears the leader", "write"),
  "leader-deaf": row("one-way partition: the leader hears nobody", "write"),
  "follower-restart": row("a follower crashed, and starts again", "current", [64, 78]),
  "all-restart": row("all nodes crashed, and start again", "write", [1310, 1350]),
  snapshot: row("a follower returns that needs a snapshot", "current"),
  wiped: row("a disk was wiped: start, `member replace`", "voter"),
  "wiped-gap": row("the same: longest gap", "gap"),
  "rolled-back": row("a disk was rolled back: start, `member replace`", "voter"),
  "stalled-disk-leader": row("the leader's disk stalls: it is relieved", "leader"),
  "stalled-disk": row("the same: longest gap", "gap"),
  "hand-over": row("planned hand-over of leadership", "gap"),
  "rolling-restart": row("rolling restart of every node", "gap"),
  "member-replaced": row("every member replaced by a new one, one by one", "gap"),
  moved: row("every member moved to another address", "gap"),
} as const satisfies Readonly<Record<string, Row>>
export type RowId = keyof typeof rows
export const rowIds = Object.keys(rows) as RowId[]

/** Milliseconds of one trial. */
export type Times = Partial<Record<RowId, number>>
