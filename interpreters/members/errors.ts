/** Why a change of members, or of the leader, did not come about. Each says what happened, what was changed, and what to do. */
import type { CatchUp, RefusalReason } from "./goals.ts"

/** no: nothing was changed by this call. unknown: it was begun, or may have been; asking for the same again goes on with it. */
export abstract class MemberError extends Error {
  abstract readonly executed: "no" | "unknown"
  /** Name of the leader, as far as it is known here. */
  readonly leader: string | null
  protected constructor(text: string, leader: string | null) {
    super(text)
    this.leader = leader
  }
}

/** The leader will not do it. */
export class MemberRefused extends MemberError {
  override readonly name = "MemberRefused"
  readonly executed: "no" | "unknown"
  readonly reason: RefusalReason
  constructor(reason: RefusalReason, text: string, leader: string | null, begun: boolean) {
    super(begun ? `${text}. Earlier steps of this call may have been taken: look at the list of members` : text, leader)
    this.reason = reason
    this.executed = begun ? "unknown" : "no"
  }
}

/** It was not done in time. */
export class MemberUnfinished extends MemberError {
  override readonly name = "MemberUnfinished"
  readonly executed: "no" | "unknown"
  /** How far a newcomer was that has to catch up first; null: none has. */
  readonly catchUp: CatchUp | null
  constructor(seconds: number, last: string, leader: string | null, begun: boolean, catchUp: CatchUp | null) {
    super(
      `not done within ${seconds} s: ${last}. ${begun ? "What was begun goes on by itself as far as it can" : "Nothing was changed"}; ask for the same again, at any node, to go on with it`,
      leader,
    )
    this.executed = begun ? "unknown" : "no"
    this.catchUp = catchUp
  }
}

/** Nobody leads, or the leader cannot be asked. */
export class MemberNoLeader extends MemberError {
  override readonly name = "MemberNoLeader"
  readonly executed: "no" | "unknown"
  constructor(seconds: number, leader: string | null, begun: boolean) {
    const what = leader === null ? "no leader is known" : `the leader, ${leader}, did not answer`
    super(
      `${what} for ${seconds} s: see that a majority of the members runs and is connected. ${begun ? "What was begun may come about later" : "Nothing was changed"}; ask for the same again, at any node`,
      leader,
    )
    this.executed = begun ? "unknown" : "no"
  }
}

/** This node's part has ended, or the caller has given up. */
export class MemberAborted extends MemberError {
  override readonly name = "MemberAborted"
  readonly executed: "no" | "unknown"
  constructor(why: string, leader: string | null, begun: boolean) {
    super(
      `${why}. ${begun ? "What was begun may come about later" : "Nothing was changed"}; ask for the same again, at any node`,
      leader,
    )
    this.executed = begun ? "unknown" : "no"
  }
}
