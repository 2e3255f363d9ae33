/**
 * What happens to a server that a configuration change removes. Until the change is committed the server may still be
 * needed, so it receives entries, and may campaign and lead (thesis §4.2.2). Then it is told once that it was removed
 * (updateTargets in reconfiguration.ts), and a leader that removed itself steps down (leaveIfRemoved in the same file;
 * paper §6).
 */
import { committedConfiguration, isVoter, lastConfiguration, membersOf } from "./membership.ts"
import type { Leader, Member, State } from "./types.ts"

/**
 * The configuration in force, and every configuration that would be in force again if later entries were overwritten.
 */
const possibleConfigurations = (state: State): State["configurations"] => {
  const committed = committedConfiguration(state)
  return state.configurations.filter(({ index }) => index >= committed)
}

/**
 * Until a change is committed, the log of a server that it removes may be the one that the others need (thesis §4.2.2).
 * For the same reason a server that has lost its state machine may campaign; it hands over soon afterwards
 * (handover.ts).
 */
export const canCampaign = (state: State): boolean =>
  state.restoring === null &&
  possibleConfigurations(state).some(({ configuration }) => isVoter(configuration, state.self))

/** The servers to which a leader replicates. A removed server learns of its removal from the last entry it receives. */
export const replicationTargets = (state: State): readonly Member[] => {
  const members = new Map<string, Member>()
  for (const { configuration } of possibleConfigurations(state))
    for (const member of membersOf(configuration)) members.set(member.name, member)
  members.delete(state.self.name)
  return [...members.values()]
}

/** Identifies the configurations from which the targets are derived: while this is unchanged, the targets are too. */
export const targetsAsOf = (state: State): Leader["targetsAsOf"] => ({
  inForce: lastConfiguration(state)?.index ?? 0,
  committed: committedConfiguration(state),
})
