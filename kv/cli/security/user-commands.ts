/** The flags and the help of `user`. */
import { choice } from "../../../interpreters/cli/flags.ts"
import { Argument, attempt, Command, Flag } from "../../../interpreters/cli/runtime.ts"

const hash = Command.make(
  "hash",
  {
    name: Argument.String("name").pipe(Argument.withDescription("The user's name")),
    role: choice("role", ["read", "write", "admin"], "What the user may do", "read"),
    generate: Flag.Boolean("generate").pipe(
      Flag.withDescription("Generate a password, and print it on stderr"),
      Flag.withDefault(false),
    ),
  },
  (o) => attempt(async () => (await import("./user.ts")).hash(o.name, o.role, o.generate)),
).pipe(
  Command.withShortDescription("Make a line for the file of users"),
  Command.withDescription(
    "Make a line for the file of users (serve --users): name, role, and the password as a hash (scrypt). The password is read from standard input, on a terminal without showing it.",
  ),
  Command.withExamples([
    { command: "stepraft user hash alice --role write >> users", description: "asks for her password" },
    { command: "stepraft user hash grafana --generate >> users", description: "generates a password, and prints it" },
  ]),
)

export const userCommand = Command.make("user").pipe(
  Command.withShortDescription("Users of a cluster"),
  Command.withDescription(
    "The users of a cluster are listed in a file that every node has: in each line a name, a role (read, write, admin), and a hash, `nopass`, or `-` for a user who logs in with a certificate only. Nodes read changes within seconds: a user who was removed, or has a new password, is disconnected.",
  ),
  Command.withSubcommands([hash]),
)
