/**
 * Why a change of members, or of the leader, did not happen. Each error says what happened, what was changed, and what
 * to do.
 */
import type { CatchUp, RefusalReason } from "./goals.ts"

/**
 * no: this call has changed nothing. unknown: the change was begun, or may have been; the same call again continues it.
 */
export abstract class MemberError extends Error {
  abstract readonly executed: "no" | "unknown"
  /** Name of the leader, as far as it is known here. */
  readonly leader: string | null
  protected constructor(text: string, leader: string | null) {
    super(text)
    this.leader = leader
  }
}

/** The leader refuses the change. */
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

/** The change was not completed in time. */
export class MemberUnfinished extends MemberError {
  override readonly name = "MemberUnfinished"
  readonly executed: "no" | "unknown"
  /** How far a newcomer that has to catch up first has come; null: there is none. */
  readonly catchUp: CatchUp | null
  constructor(seconds: number, last: string, leader: string | null, begun: boolean, catchUp: CatchUp | null) {
    super(
      `not done within ${seconds} s: ${last}. ${begun ? "What was begun continues by itself as far as it can" : "Nothing was changed"}; make the same call again, at any node, to continue it`,
      leader,
    )
    this.executed = begun ? "unknown" : "no"
    this.catchUp = catchUp
  }
}

/** There is no leader, or it cannot be asked. */
export class MemberNoLeader extends MemberError {
  override readonly name = "MemberNoLeader"
  readonly executed: "no" | "unknown"
  constructor(seconds: number, leader: string | null, begun: boolean) {
    const what = leader === null ? "no leader is known" : `the leader, ${leader}, did not answer`
    super(
      `${what} for ${seconds} s: check that a majority of the members runs and is connected. ${begun ? "What was begun may still be completed" : "Nothing was changed"}; make the same call again, at any node`,
      leader,
    )
    this.executed = begun ? "unknown" : "no"
  }
}

/** The node is stopping, or the caller has given up. */
export class MemberAborted extends MemberError {
  override readonly name = "MemberAborted"
  readonly executed: "no" | "unknown"
  constructor(why: string, leader: string | null, begun: boolean) {
    super(
      `${why}. ${begun ? "What was begun may still be completed" : "Nothing was changed"}; make the same call again, at any node`,
      leader,
    )
    this.executed = begun ? "unknown" : "no"
  }
}
