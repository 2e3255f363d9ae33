/** The flags and the help of get, set and the other data commands. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Client } from "../../client/client.ts"
import { intFlag, maybeInt, maybeString } from "../../../interpreters/cli/flags.ts"
import { Argument, attempt, Command, exitCodes, failure, Flag } from "../../../interpreters/cli/runtime.ts"
import { endpointsOf, type EndpointFlags, endpointFlags } from "../endpointFlags.ts"

const shared = {
  ...endpointFlags,
  timeout: intFlag("timeout", "Milliseconds until the command, with all its retries, is given up", 5_000),
}

/** The code is loaded when a command runs, not when the help is shown. */
const through = (
  options: EndpointFlags & { readonly timeout: number },
  use: (client: Client, print: typeof import("./data.ts")) => Promise<void>,
) =>
  attempt(async () => {
    const print = await import("./data.ts")
    await print.withClient({ endpoints: endpointsOf(options), timeoutMs: options.timeout }, (client) =>
      use(client, print),
    )
  })

const key = Argument.String("key").pipe(Argument.withDescription("The key"))
const value = Argument.String("value").pipe(Argument.withDescription("The value; after -- if it begins with a dash"))

const get = Command.make("get", { key, ...shared }, (o) =>
  through(o, async (client, print) => print.printValue(await client.getBuffer(o.key))),
).pipe(
  Command.withDescription("Print the value of a key, as of now (linearizable). Exit code 1 if there is none."),
  Command.withExamples([
    { command: "stepraft get greeting", description: "quoted on a terminal" },
    {
      command: "stepraft get picture > picture.png",
      description: "in a pipe the raw value and a newline, as redis-cli prints it",
    },
  ]),
)

const set = Command.make(
  "set",
  {
    key,
    value,
    ...shared,
    ex: maybeInt("ex", "Seconds to live", 1),
    nx: Flag.Boolean("nx").pipe(Flag.withDescription("Only if the key does not exist"), Flag.withDefault(false)),
    xx: Flag.Boolean("xx").pipe(Flag.withDescription("Only if the key exists"), Flag.withDefault(false)),
  },
  (o) => {
    if (o.nx && o.xx) return Effect.fail(failure("--nx and --xx exclude each other", exitCodes.usage))
    return through(o, async (client, print) => {
      const options = {
        ...(Option.isSome(o.ex) ? { ex: o.ex.value } : {}),
        ...(o.nx ? { only: "nx" as const } : o.xx ? { only: "xx" as const } : {}),
      }
      print.printDone(await client.set(o.key, o.value, options))
    })
  },
).pipe(
  Command.withDescription(
    "Set a key, exactly once even if the connection breaks. Exit code 1 if --nx or --xx forbade it.",
  ),
  Command.withExamples([
    { command: "stepraft set greeting hello", description: "OK" },
    { command: "stepraft set lock me --nx --ex 30", description: "only if nobody holds it, for 30 s" },
  ]),
)

const append = Command.make("append", { key, value, ...shared }, (o) =>
  through(o, async (client, print) => print.printInteger(await client.append(o.key, o.value))),
).pipe(
  Command.withDescription("Append to a value; prints its new length in bytes."),
  Command.withExamples([{ command: "stepraft append log 'one line'", description: "(integer) 8" }]),
)

const del = Command.make("del", { keys: key.pipe(Argument.atLeast(1)), ...shared }, (o) =>
  through(o, async (client, print) => print.printInteger(await client.del(...o.keys))),
).pipe(
  Command.withDescription("Delete keys; prints how many there were."),
  Command.withExamples([{ command: "stepraft del a b c", description: "(integer) 3" }]),
)

const cas = Command.make(
  "cas",
  {
    key,
    expected: Argument.String("expected").pipe(Argument.withDescription("What the key must hold now")),
    value,
    ...shared,
  },
  (o) => through(o, async (client, print) => print.printSwap(await client.cas(o.key, o.expected, o.value))),
).pipe(
  Command.withDescription(
    "Compare and set: the new value only if the key holds the expected one. Prints 1 or 0; exit code 1 if not set.",
  ),
  Command.withExamples([
    { command: "stepraft cas owner alice bob", description: "hand over, if alice still holds it" },
  ]),
)

const incr = Command.make(
  "incr",
  {
    key,
    by: Argument.Int("by").pipe(
      Argument.withDescription("How much; after -- if negative (default: 1)"),
      Argument.withDefault(1),
    ),
    ...shared,
  },
  (o) => through(o, async (client, print) => print.printInteger(await client.incr(o.key, o.by))),
).pipe(
  Command.withDescription("Add to an integer; prints the new value."),
  Command.withExamples([
    { command: "stepraft incr visits", description: "(integer) 1" },
    { command: "stepraft incr stock -- -5", description: "take five" },
  ]),
)

const scan = Command.make(
  "scan",
  {
    ...shared,
    match: maybeString("match", "A glob; all keys without it"),
    count: maybeInt("count", "About how many keys a page holds", 1),
  },
  (o) =>
    through(o, (client, print) =>
      print.printKeys(
        client.scan({
          ...(Option.isSome(o.match) ? { match: o.match.value } : {}),
          ...(Option.isSome(o.count) ? { count: o.count.value } : {}),
        }),
      ),
    ),
).pipe(
  Command.withDescription("Print all keys, page by page, without blocking anybody."),
  Command.withExamples([{ command: "stepraft scan --match 'user:*' | wc -l", description: "count them" }]),
)

const info = Command.make(
  "info",
  {
    section: Argument.String("section").pipe(Argument.withDescription("One section only"), Argument.optional),
    ...shared,
  },
  (o) => through(o, async (client, print) => print.printText(await client.call("INFO", ...Option.toArray(o.section)))),
).pipe(
  Command.withDescription("What a node reports about itself, in the form of Redis' INFO."),
  Command.withExamples([{ command: "stepraft info replication", description: "one section" }]),
)

export const dataCommands = [get, set, append, del, cas, incr, scan, info] as const
