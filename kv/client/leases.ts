/** The store as a table of leases: `elect` and `lock` of interpreters/lease run on a client. A lease is the key `lease:<name>`. */
import { LeaseRefused, type LeaseAnswer, type LeaseRequest, type LeaseTable } from "../../interpreters/lease/index.ts"
import type { CommandRequest } from "./commands.ts"
import { NoLeader, ServerError, SessionExpired, TimedOut, TlsFailed, Unknown } from "./errors.ts"
import { taskOf } from "./operation.ts"
import { toValue } from "./resp.ts"

/** Errors of the server that mean: not executed, but another attempt may succeed. */
const passing = new Set(["BUSY", "SPACELOW"])

const requestOf = (request: LeaseRequest): CommandRequest<LeaseAnswer> => {
  const { name, holder } = request
  if (request.type === "release")
    return {
      task: taskOf(["RELEASE", `lease:${name}`, holder]),
      answer: (reply) => (reply.type === "integer" ? { type: "released" } : undefined),
    }
  return {
    task: taskOf(["LEASE", `lease:${name}`, holder, Math.ceil(request.ttl)]),
    answer: (reply) => {
      const told = toValue(reply, true)
      if (!Array.isArray(told)) return undefined
      const [token, by, remaining] = told
      if (typeof token !== "number" || typeof by !== "string" || typeof remaining !== "number") return undefined
      // The key has no expiry: somebody has changed it by hand. It is checked again anyway.
      return by === holder
        ? { type: "held", token }
        : { type: "taken", by, remaining: remaining < 0 ? Number.POSITIVE_INFINITY : remaining }
    },
  }
}

const isPassing = (error: unknown): boolean => error instanceof ServerError && passing.has(error.code)

export const leaseTable = (id: string, run: <A>(request: CommandRequest<A>) => Promise<A>): LeaseTable => ({
  id,
  lease: async (request) => {
    try {
      return await run(requestOf(request))
    } catch (error) {
      if (error instanceof ServerError && !isPassing(error)) throw new LeaseRefused(error.message)
      throw error
    }
  },
  unanswered: (rejection) => {
    if (rejection instanceof Unknown || rejection instanceof SessionExpired) return "unknown"
    const kinds = [NoLeader, TimedOut, TlsFailed]
    return kinds.some((kind) => rejection instanceof kind) || isPassing(rejection) ? "notExecuted" : "final"
  },
})
