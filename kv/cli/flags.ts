/** Flags that several commands share. effect/cli does not print defaults, so each description ends with its own. */
import * as Option from "effect/Option"
import { type Endpoint, parseEndpoint } from "../client/endpoints.ts"
import { exitCodes, failure, Flag } from "./runtime.ts"

export const described = (text: string, fallback?: string | number): string => (fallback === undefined ? text : `${text} (default: ${fallback})`)

const between = (name: string, text: string, least: number, most: number) =>
  Flag.Int(name).pipe(
    Flag.withDescription(text),
    Flag.filter((value) => value >= least, (value) => `must be at least ${least}, not ${value}`),
    Flag.filter((value) => value <= most, (value) => `must be at most ${most}, not ${value}`),
  )
/** As long as a timer can wait, in milliseconds; enough of anything else, too. */
const mostInt = 2 ** 31 - 1
export const intFlag = (name: string, text: string, fallback: number, least = 1, most = mostInt) =>
  between(name, described(text, fallback), least, most).pipe(Flag.withDefault(fallback))
export const maybeInt = (name: string, text: string, least = Number.MIN_SAFE_INTEGER) => between(name, text, least, Number.MAX_SAFE_INTEGER).pipe(Flag.optional)
export const maybeString = (name: string, text: string) => Flag.String(name).pipe(Flag.withDescription(text), Flag.optional)
export const choice = <const Choices extends readonly [string, ...string[]]>(name: string, choices: Choices, text: string, fallback: NoInfer<Choices[number]>) =>
  Flag.Literals(name, choices).pipe(Flag.withDescription(described(text, fallback)), Flag.withDefault(fallback))
export const maybe = <A>(option: Option.Option<A>): A | null => Option.getOrNull(option)

/** Where to find the cluster. */
export const where = {
  host: Flag.String("host").pipe(Flag.withDescription(described("Host of a node", "127.0.0.1")), Flag.withDefault("127.0.0.1")),
  port: intFlag("port", "Client port of a node; the others are found from there", 7001, 1, 65_535).pipe(Flag.withAlias("p")),
  endpoints: maybeString("endpoints", "Several nodes, as host:port,host:port; instead of --host and --port"),
}
export interface Where {
  readonly host: string
  readonly port: number
  readonly endpoints: Option.Option<string>
}
export const endpointsOf = ({ host, port, endpoints }: Where): readonly Endpoint[] =>
  Option.match(endpoints, {
    onNone: () => [{ host, port }],
    onSome: (list) =>
      list.split(",").map((each) => {
        const endpoint = parseEndpoint(each)
        if (endpoint === null) throw failure(`--endpoints: ${JSON.stringify(each)} is no host:port, as in 127.0.0.1:7001`, exitCodes.usage)
        return endpoint
      }),
  })

export const output = choice("output", ["table", "json"], "Form of the output", "table").pipe(Flag.withAlias("o"))
