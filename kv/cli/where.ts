/** Where to find the cluster: flags that its commands share. */
import * as Option from "effect/Option"
import { described, intFlag, maybeString } from "../../interpreters/cli/flags.ts"
import { exitCodes, failure, Flag } from "../../interpreters/cli/runtime.ts"
import { type Endpoint, parseEndpoint } from "../client/endpoints.ts"

export const where = {
  host: Flag.String("host").pipe(
    Flag.withDescription(described("Host of a node", "127.0.0.1")),
    Flag.withDefault("127.0.0.1"),
  ),
  port: intFlag("port", "Client port of a node; the others are found from there", 7001, 1, 65_535).pipe(
    Flag.withAlias("p"),
  ),
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
        if (endpoint === null)
          throw failure(`--endpoints: ${JSON.stringify(each)} is no host:port, as in 127.0.0.1:7001`, exitCodes.usage)
        return endpoint
      }),
  })
