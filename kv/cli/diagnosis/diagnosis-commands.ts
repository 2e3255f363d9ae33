/** The flags and the help of `doctor` and `diagnostics`. */
import { intFlag, maybe, output } from "../../../interpreters/cli/flags.ts"
import { Argument, attempt, Command, Flag } from "../../../interpreters/cli/runtime.ts"
import { endpointsOf, type EndpointFlags, endpointFlags } from "../endpointFlags.ts"

const looking = {
  ...endpointFlags,
  interval: intFlag("interval", "Milliseconds between the two looks", 2_000, 100),
  timeout: intFlag("timeout", "Milliseconds that a node has for each answer", 3_000, 100),
}
const surveyOf = (o: EndpointFlags & { readonly interval: number; readonly timeout: number }) => ({
  endpoints: endpointsOf(o),
  intervalMs: o.interval,
  timeoutMs: o.timeout,
})
const json = Flag.Boolean("json").pipe(Flag.withDescription("The same as --output json"), Flag.withDefault(false))

export const doctorCommand = Command.make("doctor", { ...looking, output, json }, (o) =>
  attempt(async () => (await import("./doctor.ts")).doctor({ ...surveyOf(o), output: o.json ? "json" : o.output })),
).pipe(
  Command.withShortDescription("Find what is wrong with a cluster, why, and what to do"),
  Command.withDescription(
    "Find what is wrong with a cluster, why, and what to do. One node is asked, the others are found through it; every node is looked at twice, and in between each is asked for one read and one write (a session is opened and closed again). Each finding has a stable name, what was seen, the likely cause, the next step, and its section of the troubleshooting guide. Exit code 0 if all is well, otherwise 1.",
  ),
  Command.withExamples([
    { command: "stepraft doctor", description: "the cluster that has a node on port 7001" },
    { command: "stepraft doctor --json | jq -r '.findings[].name'", description: "for scripts" },
  ]),
)

export const diagnosticsCommand = (version: string) =>
  Command.make(
    "diagnostics",
    {
      file: Argument.String("file").pipe(
        Argument.withDescription("Where to write; - is standard output (default: stepraft-diagnostics-DATE.json)"),
        Argument.optional,
      ),
      ...looking,
    },
    (o) =>
      attempt(async () =>
        (await import("./diagnostics.ts")).diagnostics({ ...surveyOf(o), file: maybe(o.file), version }),
      ),
  ).pipe(
    Command.withShortDescription("Write one file with what an expert needs to know about a cluster"),
    Command.withDescription(
      "Write one file with what an expert needs to know about a cluster: the findings of doctor, and for every node its status, INFO, settings, version and, if its log is on this machine, the end of it. The file holds no user data: no key, no value, no name that a client gave itself. It does hold addresses of nodes and clients. Exit code 0 if it was written.",
    ),
    Command.withExamples([
      { command: "stepraft diagnostics", description: "into a file of its own here" },
      { command: "stepraft diagnostics - | jq '.findings'", description: "to another program" },
    ]),
  )
