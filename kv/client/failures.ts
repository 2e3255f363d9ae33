/** The errors with which an operation ends, as the client words them. */
import { NoLeader, ServerError, SessionExpired, TimedOut, TlsFailed, Unknown } from "./errors.ts"
import { commandName, type ClientOperation } from "./operation.ts"

type Failed = Pick<ClientOperation, "task">

export const serverError = (
  { task }: Failed,
  { code, text }: { readonly code: string; readonly text: string },
): ServerError => new ServerError({ command: commandName(task), code, message: `${code} ${text}`.trim() })

export const sessionExpired = ({ task }: Failed): SessionExpired => {
  const command = commandName(task)
  return new SessionExpired({
    command,
    message: `the session ended before the outcome of ${command} was known; it may have taken effect, and will not do so any more`,
  })
}

export const notInTime = ({ task }: Failed, leaderless: boolean, trouble: string): NoLeader | TimedOut => {
  const command = commandName(task)
  return leaderless
    ? new NoLeader({ command, message: `no leader in time: ${command} was not executed (${trouble})` })
    : new TimedOut({ command, message: `${command} was not executed in time (${trouble})` })
}

export const tlsFailed = ({ task }: Failed, trouble: string): TlsFailed =>
  new TlsFailed({ command: commandName(task), message: `${trouble}. Nothing was executed.` })

export const replyMissed = ({ task }: Failed, trouble: string): Unknown => {
  const command = commandName(task)
  return new Unknown({ command, message: `no reply to ${command} in time (${trouble}); it may have taken effect` })
}

export const inDoubt = ({ task }: Failed, then: string): Unknown => {
  const command = commandName(task)
  return new Unknown({ command, message: `an earlier attempt of ${command} may have taken effect; ${then}` })
}

export const resultGone = ({ task }: Failed): Unknown => {
  const command = commandName(task)
  return new Unknown({ command, message: `${command} took effect, but the cluster no longer keeps its reply` })
}
