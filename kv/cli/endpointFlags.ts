/** Flags that say where to find the cluster, shared by the commands. */
import * as Option from "effect/Option"
import { described, intFlag, maybe, maybeString } from "../../interpreters/cli/flags.ts"
import { exitCodes, failure, Flag } from "../../interpreters/cli/runtime.ts"
import { useGivenAccess } from "./access.ts"
import { type Endpoint, parseEndpoint, withoutLogin } from "../client/endpoints.ts"

export const endpointFlags = {
  host: Flag.String("host").pipe(
    Flag.withDescription(described("Host of a node", "127.0.0.1")),
    Flag.withDefault("127.0.0.1"),
  ),
  port: intFlag("port", "Client port of a node; the others are found from there", 7001, 1, 65_535).pipe(
    Flag.withAlias("p"),
  ),
  endpoints: maybeString(
    "endpoints",
    "Several nodes, as host:port,host:port or rediss://host:port; instead of --host and --port",
  ),
  tls: Flag.Boolean("tls").pipe(
    Flag.withDescription("Speak TLS (STEPRAFT_TLS=1); given with --tls-ca, and with --tls-cert"),
    Flag.withDefault(false),
  ),
  tlsCa: maybeString(
    "tls-ca",
    "File (PEM) with the certificate authority to trust (STEPRAFT_TLS_CA; default: the system's)",
  ),
  tlsCert: maybeString("tls-cert", "File (PEM) with this client's certificate (STEPRAFT_TLS_CERT)"),
  tlsKey: maybeString("tls-key", "File (PEM) with its key (STEPRAFT_TLS_KEY)"),
  user: maybeString("user", "User to log in as (STEPRAFT_USER); the password is taken from STEPRAFT_PASSWORD"),
}
export interface EndpointFlags {
  readonly host: string
  readonly port: number
  readonly endpoints: Option.Option<string>
  readonly tls: boolean
  readonly tlsCa: Option.Option<string>
  readonly tlsCert: Option.Option<string>
  readonly tlsKey: Option.Option<string>
  readonly user: Option.Option<string>
}
/** From here on this program talks to these nodes, with the TLS files and the login of the flags. */
export const endpointsOf = ({ host, port, endpoints, ...flags }: EndpointFlags): readonly Endpoint[] => {
  const { tls, tlsCa, tlsCert, tlsKey, user } = flags
  useGivenAccess(
    { tls, tlsCa: maybe(tlsCa), tlsCert: maybe(tlsCert), tlsKey: maybe(tlsKey), user: maybe(user) },
    (maybe(endpoints) ?? "").split(","),
  )
  return Option.match(endpoints, {
    onNone: () => [{ host, port }],
    onSome: (list) =>
      list.split(",").map((each) => {
        const endpoint = parseEndpoint(each)
        if (endpoint === null)
          throw failure(
            `--endpoints: ${JSON.stringify(withoutLogin(each))} is no host:port, as in 127.0.0.1:7001`,
            exitCodes.usage,
          )
        return endpoint
      }),
  })
}
