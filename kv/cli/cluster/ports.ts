/** Checks that all ports are free before anything is started: half a cluster is worse than none. */
import { createServer } from "node:net"
import { type Endpoint, showEndpoint } from "../../client/endpoints.ts"

/** null if the port is free, otherwise why not. */
const problem = ({ host, port }: Endpoint): Promise<string | null> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once("error", (error: NodeJS.ErrnoException) =>
      resolve(error.code === "EADDRINUSE" ? "is in use" : `cannot be opened (${error.message})`),
    )
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)))
  })

export const busyPorts = async (
  wanted: readonly { readonly what: string; readonly endpoint: Endpoint }[],
): Promise<readonly string[]> => {
  const found = await Promise.all(
    wanted.map(async ({ what, endpoint }) => ({ what, endpoint, why: await problem(endpoint) })),
  )
  return found.flatMap(({ what, endpoint, why }) =>
    why === null ? [] : [`port ${endpoint.port} ${why} (${showEndpoint(endpoint)}, wanted for ${what})`],
  )
}
