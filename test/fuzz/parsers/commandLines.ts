/** What a user types after `stepraft`: each line of an input is one word. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { Command, exitCodes, Failure, isMisuse, services } from "../../../interpreters/cli/runtime.ts"
import { endpointsOf, type EndpointFlags } from "../../../kv/cli/endpointFlags.ts"
import { readPlainly } from "../../../kv/cli/serve/direct.ts"
import { commandLine } from "../../../kv/cli/main.ts"
import { givenSettings } from "../../../kv/cli/node-commands.ts"
import { parseEndpoint, showEndpoint } from "../../../kv/client/endpoints.ts"
import { variableOf, type Setting } from "../../../kv/node/config.ts"
import { parseLimit } from "../../../spec/cli/check-history.ts"
import { must, told, type Parser } from "../parser.ts"
import { decoded } from "./words.ts"

type Values = Readonly<Record<string, unknown>>
/** A command that would run, with what its flags and arguments say. */
interface Heard {
  readonly path: readonly string[]
  readonly values: Values
}

let heard: Heard | null = null
/** The same command, whose end only tells what it was given. */
const listening = (command: Command.Command.Any, before: readonly string[]): Command.Command.Any => {
  const path = [...before, command.name]
  const within = command.subcommands.flatMap(({ commands }) => commands)
  if (within.length > 0)
    return Command.make(command.name).pipe(Command.withSubcommands(within.map((one) => listening(one, path))))
  return Command.withHandler(command, (values) => Effect.sync(() => void (heard = { path, values: values as Values })))
}
const program = Command.make("stepraft").pipe(
  Command.withSubcommands(
    commandLine("/nowhere/stepraft.js").subcommands.flatMap(({ commands }) =>
      commands.map((one) => listening(one, [])),
    ),
  ),
)

interface Told {
  readonly heard: Heard | null
  readonly refused: boolean
  readonly out: string
  readonly err: string
}
const understood = (words: readonly string[]): Told => {
  heard = null
  const written = { out: "", err: "" }
  const into = (name: "out" | "err") => ({
    write: (text: string | Uint8Array, then: () => void) => {
      written[name] += String(text)
      then()
    },
  })
  const run: Effect.Effect<void, unknown> = Command.runWith(program, { version: "1.2.3" })(words).pipe(
    // The commands need nothing more: they only listen.
    Effect.provide(services(words, into("out"), into("err"))),
  ) as Effect.Effect<void, unknown>
  const exit = Effect.runSyncExit(run)
  const refused = Exit.isFailure(exit)
  // Any other end is no refusal, but a mistake of this program.
  if (refused) {
    const [reason, ...more] = exit.cause.reasons
    if (reason === undefined || !Cause.isFailReason(reason) || more.length > 0) throw Cause.squash(exit.cause)
    must(isMisuse(reason.error), "it is refused with an error that shows no help")
  }
  return { heard, refused, ...written }
}

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
/** Flags that are not called as their values are. */
const CALLED: Readonly<Record<string, string>> = { even: "even-if-quorum-is-lost" }
/** By command: the values that are arguments. */
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  get: ["key"],
  set: ["key", "value"],
  append: ["key", "value"],
  del: ["keys"],
  cas: ["key", "expected", "value"],
  incr: ["key", "by"],
  info: ["section"],
  lock: ["name", "words"],
  watch: ["key"],
  "member add": ["name"],
  "member promote": ["name"],
  "member remove": ["name"],
  "member replace": ["name"],
  "leader transfer": ["to"],
  "cert node": ["name"],
  "cert client": ["name"],
  "user hash": ["name"],
  diagnostics: ["file"],
  "snapshot save": ["file"],
  "snapshot inspect": ["file"],
  "snapshot restore": ["file"],
  "inspect wal": ["dir"],
  "inspect snapshot": ["dir"],
  "inspect state": ["dir"],
  "recover plan": ["dirs"],
  "recover apply": ["dirs"],
  debug: ["file"],
  "check-history": ["file"],
}
const given = (value: unknown): readonly unknown[] =>
  Option.isOption(value) ? Option.toArray(value) : Array.isArray(value) ? value : [value]
/** The words that say this. `joined`: --name=value, instead of two words. */
const wordsFor = ({ path, values }: Heard, joined: boolean): readonly string[] => {
  const places = ARGUMENTS[path.join(" ")] ?? []
  const flags = Object.entries(values).flatMap(([name, value]) =>
    places.includes(name)
      ? []
      : given(value).flatMap((one) => {
          const flag = `--${CALLED[name] ?? kebab(name)}`
          const word = String(one)
          // Of a switch, and of what begins like a flag, the other form would be two things.
          return joined || typeof one === "boolean" || word.startsWith("-") ? [`${flag}=${word}`] : [flag, word]
        }),
  )
  const rest = places.flatMap((name) => given(values[name]).map(String))
  return joined ? [...path, ...flags, "--", ...rest] : [...path, ...flags, ...(rest.length > 0 ? ["--", ...rest] : [])]
}

/** With files that the flags name: they are of no concern here. */
const withoutFiles = (values: Values): EndpointFlags =>
  ({ ...values, tlsCa: Option.none(), tlsCert: Option.none(), tlsKey: Option.none() }) as unknown as EndpointFlags
const checkEndpoints = (values: Values): void => {
  const endpoints = (() => {
    try {
      return endpointsOf(withoutFiles(values))
    } catch (error) {
      if (error instanceof Failure && error.code === exitCodes.usage) return []
      throw error
    }
  })()
  for (const endpoint of endpoints) {
    must(endpoint.port >= 1 && endpoint.port <= 65_535, "a port that nobody can dial")
    if (endpoint.host !== values["host"])
      must(told(parseEndpoint(showEndpoint(endpoint))) === told(endpoint), "an endpoint that is another when written")
  }
}
/** As flags or as variables, the settings are the same. */
const checkSettings = (values: Values): void => {
  const flags = givenSettings(values)
  const variables = Object.entries(values).flatMap(([name, value]) =>
    // A switch that was not given is false.
    name === "config" || value === false
      ? []
      : given(value).map((one) => [variableOf(name as Setting), String(one)] as const),
  )
  must(
    told(decoded({ flags, env: {} })) === told(decoded({ flags: {}, env: Object.fromEntries(variables) })),
    "by flags and by variables they are other settings",
  )
}

/** What flags of these names may be, in every command that has them. */
const TIMER = 2 ** 31 - 1
const BETWEEN: Readonly<Record<string, readonly [least: number, most: number]>> = {
  port: [1, 65_535],
  timeout: [1, TIMER],
  interval: [10, TIMER],
  ttl: [1000, TIMER],
  days: [1, 36_500],
  reads: [0, 100],
  steps: [1, 100_000],
  workers: [1, 1024],
  pipeline: [1, TIMER],
  duration: [1, 1_000_000],
  ex: [1, Number.MAX_SAFE_INTEGER],
}
/** What is read without the library (kv/cli/serve/direct.ts) is the node that the library reads. */
const checkDirect = (words: readonly string[], by: Heard | null): void => {
  const read = words.includes("--help") || words.includes("-h") ? null : readPlainly(words)
  if (read === null || read.file !== undefined) return
  const node = decoded({ ...read, env: {} })
  if (node === null) return
  must(by !== null, "a node runs whose command line is refused")
  must(
    told(decoded({ flags: givenSettings(by?.values ?? {}), env: {} })) === told(node),
    "read without the library it is another node",
  )
}
const checkCommandLine = (input: Buffer): void => {
  const words = input.length === 0 ? [] : input.toString("utf8").split("\n")
  // A script for a shell, on the console itself.
  if (words.some((word) => word.startsWith("--completions"))) return
  const first = understood(words)
  if (words[0] === "serve") checkDirect(words.slice(1), first.heard)
  if (first.refused) {
    must(first.heard === null, "it is refused, and runs")
    must(first.out === "", "what is refused is no output")
    // Without a word, or with a group alone, all that there is.
    must(/Run stepraft[a-z -]* --help for more\.\n$|^USAGE$/m.test(first.err), "it does not say where help is")
    must(/\S/.test(first.err.split("\nUsage: ")[0] ?? ""), "it does not say what is wrong")
    // Of letters after one dash each is a flag, and has a line of its own.
    must(first.err.length < 20_000 + 400 * input.length, "it says too much")
    return
  }
  if (first.heard === null) return must(first.out !== "", "nothing runs, and nothing is said")
  must(first.err === "" && first.out === "", "it says something before it runs")
  const { path, values } = first.heard
  for (const joined of [true, false]) {
    const again = understood(wordsFor(first.heard, joined))
    must(told(again.heard) === told(first.heard), "said again it is another command")
  }
  for (const one of Object.values(values).flatMap(given))
    must(typeof one !== "number" || Number.isSafeInteger(one), "a number that was rounded")
  if ("endpoints" in values) checkEndpoints(values)
  if (path[0] === "serve") checkSettings(values)
  if ("limit" in values) must(parseLimit(String(values["limit"])) !== undefined, "a limit that is no duration")
  const cluster = path[0] === "cluster"
  for (const [name, [least, most]] of Object.entries(BETWEEN))
    // What a cluster's ports may be depends on how many nodes it has.
    for (const value of cluster ? [] : given(values[name] ?? []))
      must(
        Number(value) >= least && Number(value) <= most,
        `--${name} ${String(value)} is not between ${least} and ${most}`,
      )
}

const line = (words: string): Buffer => Buffer.from(words.replaceAll(" ", "\n"))
const at = "--host 10.0.0.1 -p 7002 --tls --tls-ca ca.pem --tls-cert a.crt --tls-key a.key --user ann"
const SEEDS: readonly string[] = [
  "",
  "--help",
  "--version",
  "set --help",
  "cluster --nodes 5 --port 7101 --peer-port 8101 --http-port 0 --host ::1 --data d --config c --redirect --tls",
  "serve --id n1 --data d --client 127.0.0.1:7001 --peer 127.0.0.1:8001 --http 127.0.0.1:9001 --peers n1=127.0.0.1:8001,n2=127.0.0.1:8002",
  "serve --id n1 --data d --client 10.0.0.1:7001 --peer 10.0.0.1:8001 --advertise a:1 --advertise-peer none --bootstrap --redirect --plaintext peers,clients,http --users=u --trace=t",
  "serve --id n1 --data d --client 10.0.0.1:7001 --peer 10.0.0.1:8001 --tls-cert a.crt --tls-key a.key --tls-ca ca.crt --tls-auth-clients optional --log-format json --log-level debug",
  "serve --id n1 --data d --client 127.0.0.1:7001 --peer 127.0.0.1:8001 --heartbeat 50 --election-min 150 --election-max 300 --low-water 100 --high-water 200 --autopilot-voters 3 --client-memory 100000000",
  "serve --id n1 --data d --client 127.0.0.1:7001 --peer 127.0.0.1:8001 --trace t --bootstrap",
  "serve --id n1 --data d --client 127.0.0.1:7001 --peer 127.0.0.1:8001 --trace --bootstrap",
  "serve --id n1 --data d --client 127.0.0.1:7001 --peer 127.0.0.1:8001 --trace=",
  "serve --config c.json --max-clients 10 --session-idle 4000000000",
  `status ${at} -o json --watch --interval 100 --timeout 10`,
  `member list ${at} -o table`,
  `member add n4 --endpoints 127.0.0.1:7001,rediss://ann:secret@[::1]:7002 --address 10.0.0.1:8004`,
  `member promote n4 --even-if-quorum-is-lost`,
  `member remove n4 ${at} --no-even-if-quorum-is-lost`,
  `member replace n3 --by n4 --address a:1 --timeout 1`,
  `leader transfer n2 ${at}`,
  "leader transfer",
  "cert init --dir d --days 36500",
  "cert node n1 --host a.example,10.0.0.1 --dir d --replace --days 1",
  "cert client ann --dir d --replace",
  "user hash ann --role admin --generate",
  `doctor ${at} --interval 100 --timeout 100 --json`,
  `diagnostics - ${at}`,
  `get k ${at}`,
  "set k v --ex 30 --nx -p 7001",
  "set k --xx -- -5",
  "append k v",
  "del a b c --timeout 2147483647",
  "cas k a b",
  "incr k -- -5",
  "incr k 9007199254740991",
  "scan --match user:* --count 10",
  "info replication",
  "lock nightly --wait 1000 --ttl 1000 -- sh -c true -x",
  "watch k --interval 10",
  `snapshot save f ${at} --local --timeout 100`,
  "snapshot inspect f -o json",
  "snapshot restore f --id n1 --data d --skip 0",
  "inspect wal d",
  "inspect snapshot d --output json",
  "inspect state d",
  "recover plan d e",
  "recover apply d e --accept-lost-writes --peers n2=a:1 --skip 10000000000",
  `bench ${at} --clients 64 --connections 1 --pipeline 16 --reads 100 --value-size 0 --keys 1 --requests 5 --consistency local --target all`,
  "simulate --seed 0 --seeds 1 --minutes 1 --steps 100000 --nodes 7 --profile partitions --workers 1 --refine --clients 5 --trace t --save s",
  "debug t --seed 0 --profile calm --nodes 3 --refine --machine m --check c --commands step;back",
  "check-history - --model register --format edn --limit 1.5m --drawing d.svg --failed-cas refused --initial 0 -o json",
]

const FLAGS = "interpreters/cli/flags.ts"
const RUNTIME = "interpreters/cli/runtime.ts"
const ENDPOINTS = "kv/cli/endpointFlags.ts"
const SERVE = "kv/cli/node-commands.ts"
const DIRECT = "kv/cli/serve/direct.ts"
const HISTORY = "spec/cli/check-history.ts"
const EFFECT = "node_modules/effect/dist/cli"
export const parsers: readonly Parser[] = [
  {
    name: "command-lines",
    about:
      "command lines of every verb: refused with what is wrong and where help is, or the same command when said again in either form; settings are the same by flags and by variables, and serve the same without the library",
    files: [
      FLAGS,
      RUNTIME,
      ENDPOINTS,
      SERVE,
      DIRECT,
      HISTORY,
      ...["internal/lexer", "internal/parser", "internal/command", "Param", "Primitive"].map(
        (name) => `${EFFECT}/${name}.js`,
      ),
    ],
    seeds: () => SEEDS.map(line),
    words: SEEDS.flatMap((words) => words.split(" ")),
    check: checkCommandLine,
    work: { least: 1_000_000, each: 20_000 },
    faults: [
      {
        id: "fuzz-command-lines-1",
        title: "without the library, a flag may be the value of the one before it",
        patches: [{ file: DIRECT, find: '|| value.startsWith("-")', replace: "" }],
      },
      {
        id: "fuzz-command-lines-2",
        title: "a flag of serve that is empty is forgotten",
        patches: [
          {
            file: SERVE,
            find: 'name === "config" ? [] :',
            replace: 'name === "config" || (Option.isOption(value) && Option.getOrNull(value) === "") ? [] :',
          },
        ],
      },
      {
        id: "fuzz-command-lines-3",
        title: "what is wrong with a command line is not told",
        patches: [
          {
            file: RUNTIME,
            find: "event.errors.map((error) => `${path}: ${formatter.formatCliError(error)}`)",
            replace: "event.errors.slice(1).map((error) => `${path}: ${formatter.formatCliError(error)}`)",
          },
        ],
      },
    ],
  },
]
