/** Servers that differ only in their names. */
import type { Space } from "../space.ts"
import type { Permutation } from "../identity.ts"

/**
 * All renamings of servers that preserve the first configuration, the targets and the permitted candidates; the
 * identity is first.
 */
export const permutationsOf = (space: Space, symmetry: boolean): readonly (readonly number[])[] => {
  const all: number[][] = []
  const extend = (chosen: readonly number[]): void => {
    if (chosen.length === space.servers.length) all.push([...chosen])
    else space.servers.forEach((_, i) => (chosen.includes(i) ? undefined : extend([...chosen, i])))
  }
  extend([])
  const votes = space.servers.map((name) => space.voters.includes(name))
  const targetsOf = (to: readonly number[]): string => {
    const named = (name: string): string => space.servers[to[space.servers.indexOf(name)] ?? 0] ?? ""
    return space.targets
      .map((voters) => voters.map(named).sort().join(""))
      .sort()
      .join(" ")
  }
  const campaigns = space.servers.map((name) => space.candidates?.[name]?.join() ?? "")
  const here = targetsOf(space.servers.map((_, i) => i))
  return symmetry
    ? all.filter(
        (to) =>
          to.every((target, i) => votes[i] === votes[target] && campaigns[i] === campaigns[target]) &&
          targetsOf(to) === here,
      )
    : all.slice(0, 1)
}

/** For the name of each server, its name after the renaming. */
export const namesAfter = (space: Space, to: readonly number[]): Permutation =>
  Object.fromEntries(space.servers.map((name, i) => [name, space.servers[to[i] ?? 0] ?? name]))
