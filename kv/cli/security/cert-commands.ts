/** The flags and the help of `cert`. */
import { intFlag, maybe, maybeString } from "../../../interpreters/cli/flags.ts"
import { Argument, attempt, Command, Flag } from "../../../interpreters/cli/runtime.ts"

const shared = {
  dir: Flag.String("dir").pipe(
    Flag.withDescription("Folder of the authority and its certificates (default: certs)"),
    Flag.withDefault("certs"),
  ),
  replace: Flag.Boolean("replace").pipe(
    Flag.withDescription("Replace the existing certificate by a new one"),
    Flag.withDefault(false),
  ),
}
const days = (fallback: number) => intFlag("days", "Days until it ends", fallback, 1, 36_500)
const LONG = 3650
const USUAL = 825

const init = Command.make("init", { dir: shared.dir, days: days(LONG) }, (o) =>
  attempt(async () => (await import("./cert.ts")).init(o.dir, o.days)),
).pipe(
  Command.withShortDescription("Make an authority for a cluster"),
  Command.withDescription(
    "Make an authority for a cluster: a certificate that every node and client gets, and a key to be kept safe.",
  ),
)
const node = Command.make(
  "node",
  {
    name: Argument.String("name").pipe(Argument.withDescription("The node's name, as in --id")),
    host: maybeString(
      "host",
      "Where clients find it: names and addresses, with commas; this machine's own are added. With --replace, those of the former unless given",
    ),
    ...shared,
    days: days(USUAL),
  },
  (o) =>
    attempt(async () => {
      const hosts = (maybe(o.host) ?? "").split(",").flatMap((host) => (host.trim() === "" ? [] : [host.trim()]))
      const { certifyIn } = await import("./cert.ts")
      certifyIn({ folder: o.dir, name: o.name, purpose: "node", hosts, days: o.days, replace: o.replace })
    }),
).pipe(
  Command.withShortDescription("Make a certificate for a node"),
  Command.withDescription(
    "Make a certificate for a node. It proves the node's name to the others, and its hosts to clients.",
  ),
  Command.withExamples([
    { command: "stepraft cert node n1 --host 10.0.0.1,db1.example.com", description: "certs/n1.crt and certs/n1.key" },
    { command: "stepraft cert node n1 --replace", description: "a new one; n1 need not be restarted" },
  ]),
)
const client = Command.make(
  "client",
  { name: Argument.String("name").pipe(Argument.withDescription("The user's name")), ...shared, days: days(USUAL) },
  (o) =>
    attempt(async () =>
      (await import("./cert.ts")).certifyIn({
        folder: o.dir,
        name: o.name,
        purpose: "client",
        hosts: [],
        days: o.days,
        replace: o.replace,
      }),
    ),
).pipe(
  Command.withShortDescription("Make a certificate for a client"),
  Command.withDescription("Make a certificate for a client. Nodes do not accept it as a node's."),
)

export const certCommand = Command.make("cert").pipe(
  Command.withShortDescription("Make certificates for a cluster"),
  Command.withDescription(
    "Make certificates for a cluster: an authority of its own, and certificates that it signs. Each command says when its certificate ends. Certificates from other tools work too: a node's must have its --id as common name and be valid for servers and clients, and the authority must sign such certificates for nodes only.",
  ),
  Command.withExamples([
    { command: "stepraft cert init", description: "once; then" },
    { command: "stepraft cert node n1 --host 10.0.0.1", description: "for each node" },
    { command: "stepraft cert client alice", description: "for each user" },
  ]),
  Command.withSubcommands([init, node, client]),
)
