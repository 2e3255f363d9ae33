/** The flags and the help of `member` and `leader`. */
import { intFlag, maybe, maybeString, output } from "../../../interpreters/cli/flags.ts"
import { Argument, attempt, Command, Flag } from "../../../interpreters/cli/runtime.ts"
import { endpointsOf, endpointFlags } from "../endpointFlags.ts"

const name = Argument.String("name").pipe(Argument.withDescription("Name of the node"))
const timeout = intFlag("timeout", "Milliseconds to wait for the change to be completed", 600_000, 1)
const address = maybeString(
  "address",
  "HOST:PORT where the node listens for its peers, if it has not dialled a member itself",
)
const even = Flag.Boolean("even-if-quorum-is-lost").pipe(
  Flag.withDescription("Do it even if no majority of the resulting voters is reachable. The cluster may stop for good"),
  Flag.withDefault(false),
)
const shared = { ...endpointFlags, timeout, output }

interface Given {
  readonly timeout: number
  readonly output: "table" | "json"
}
const carryOut = (o: Given & Parameters<typeof endpointsOf>[0], words: readonly (string | null)[]) =>
  attempt(async (signal) => {
    const members = await import("./members.ts")
    await members.carryOut(
      ["STEPRAFT", ...words.filter((word) => word !== null)],
      o.timeout,
      { endpoints: endpointsOf(o), output: o.output },
      signal,
    )
  })
const at = (text: string | null): readonly (string | null)[] => (text === null ? [] : ["AT", text])
const evenIf = (asked: boolean): string | null => (asked ? "EVENIFQUORUMISLOST" : null)

const list = Command.make("list", { ...endpointFlags, output }, (o) =>
  attempt(async () => (await import("./members.ts")).printMembers({ endpoints: endpointsOf(o), output: o.output })),
).pipe(
  Command.withDescription(
    "Show the voters, the learners and the leader, which of them are reachable and how far each has come, as the leader knows it. Exit code 0 if there is a leader and every member is reachable, otherwise 1.",
  ),
)

const add = Command.make("add", { name, ...shared, address }, (o) =>
  carryOut(o, ["MEMBER", "ADD", o.name, ...at(maybe(o.address))]),
).pipe(
  Command.withDescription(
    "Add a node that runs with an empty folder, as a learner: it receives the data and has no vote. Start it first, with some members as its --peers.",
  ),
  Command.withExamples([
    { command: "stepraft member add n4 && stepraft member promote n4", description: "one voter more" },
  ]),
)
const promote = Command.make("promote", { name, ...shared, even }, (o) =>
  carryOut(o, ["MEMBER", "PROMOTE", o.name, evenIf(o.even)]),
).pipe(
  Command.withDescription(
    "Make a learner a voter. This waits until it has caught up: what its disk lacks must fit into one message.",
  ),
)
const remove = Command.make("remove", { name, ...shared, even }, (o) =>
  carryOut(o, ["MEMBER", "REMOVE", o.name, evenIf(o.even)]),
).pipe(
  Command.withDescription(
    "Remove a node from the cluster. Its data stay where they are; stop it afterwards. A leader hands over first.",
  ),
)
const replace = Command.make(
  "replace",
  {
    name,
    ...shared,
    address,
    even,
    by: maybeString("by", "The node that takes its place, if the machine is lost; start it with an empty folder first"),
  },
  (o) => {
    const by = maybe(o.by)
    return carryOut(o, [
      "MEMBER",
      "REPLACE",
      o.name,
      ...(by === null ? [] : ["BY", by]),
      ...at(maybe(o.address)),
      evenIf(o.even),
    ])
  },
).pipe(
  Command.withDescription(
    "For a lost disk: the node of that name, started again with an empty folder, becomes a member again, catches up, and votes as before. For a lost machine: use --by.",
  ),
  Command.withExamples([
    { command: "stepraft member replace n3", description: "n3 lost its disk and runs with an empty folder" },
    { command: "stepraft member replace n3 --by n4", description: "n4 takes the place of n3" },
  ]),
)

export const memberCommand = Command.make("member").pipe(
  Command.withShortDescription("Show and change the members of the cluster"),
  Command.withDescription(
    "Show and change the members of the cluster. Any node may be asked. Each command waits until its change is complete, prints on stderr what it waits for, and may be repeated after any outcome: steps that were taken are not repeated. Exit code 0 if the change is complete, otherwise 1. A change that would leave no majority is refused.",
  ),
  Command.withSubcommands([list, add, promote, remove, replace]),
)

const transfer = Command.make(
  "transfer",
  {
    to: Argument.String("name").pipe(
      Argument.withDescription("The node that is to lead (default: the most suitable one)"),
      Argument.optional,
    ),
    ...shared,
  },
  (o) => carryOut(o, ["TRANSFER", maybe(o.to)]),
).pipe(Command.withDescription("Hand leadership over, and wait until another node leads."))

export const leaderCommand = Command.make("leader").pipe(
  Command.withShortDescription("Hand leadership over"),
  Command.withDescription("Hand leadership over to another node. Clients only wait for a moment."),
  Command.withSubcommands([transfer]),
)
