/**
 * A server's place in its cluster: a directory that belongs to a member keeps its place, an empty one has to find its
 * place first.
 */
import * as Effect from "effect/Effect"
import { emptyConfiguration } from "../../core/index.ts"
import type { FileStorage, StorageError } from "../file/index.ts"
import type { LocalHello } from "../hello.ts"
import type { Logger } from "../log.ts"
import type { RefusedDirectory } from "../starts.ts"
import { isPermanent, type TcpTransport } from "../tcp/index.ts"
import type { BootstrapRefused } from "./errors.ts"
import { formed, newClusterId, type Forming } from "./forming.ts"

export interface FindClusterOptions extends Pick<Forming, "bootstrap" | "met" | "listed" | "address"> {
  readonly storage: FileStorage
  readonly transport: TcpTransport
  readonly log: Logger
  /** What this server says about itself in its hello, without its place. */
  readonly hello: () => LocalHello
}

/** Succeeds with the id of the cluster. Waits as long as necessary. */
export const findCluster = ({
  storage,
  transport,
  listed,
  address,
  bootstrap,
  met,
  log,
  hello,
}: FindClusterOptions): Effect.Effect<string, BootstrapRefused | StorageError> =>
  Effect.gen(function* () {
    const { cluster, self } = storage.identity
    if (cluster !== null) return cluster
    const formation = yield* formed({ self, transport, listed, address, bootstrap, log, met })
    const founding = formation.type === "amnesiac" ? emptyConfiguration : formation.founding
    const id = formation.type === "found" ? newClusterId() : formation.cluster
    yield* storage.found(id, founding)
    const names = founding.voters.map(({ name }) => name).join(", ")
    switch (formation.type) {
      case "found":
        log("info", `founded cluster ${id} of ${names}`)
        break
      case "adopt":
        log("info", `joined cluster ${id} of ${names}`)
        break
      case "amnesiac":
        log("info", `cluster ${id} takes this node in: ${formation.of} addresses its incarnation ${self.incarnation}`)
        break
    }
    transport.announce({ ...hello(), cluster: id, founding, empty: false })
    return id
  })

/**
 * Why nothing that a server says counts any more. The text begins with who says so and why; the detail names the server
 * itself.
 */
export const refusedText = (id: string, { by, reason, detail }: RefusedDirectory): string =>
  `${reason}: the directory of ${id} is not to be trusted, says ${by}, and counts as lost. ${id} votes for nobody and serves no data, now and after a restart. ${detail}`

/**
 * Watches whether a peer has seen a later start of this directory, or was told of more entries than it holds. This is
 * recorded for every later start. `withdrawn` is called once: at once if it was already recorded.
 */
export const watchRefused = (
  storage: FileStorage,
  transport: TcpTransport,
  withdrawn: (refused: RefusedDirectory) => void,
  failed: (error: StorageError) => void,
): void => {
  let known = storage.refused !== null
  if (storage.refused !== null) withdrawn(storage.refused)
  transport.onRefused((by, said) => {
    if (!isPermanent(said) || known) return
    known = true
    const refused: RefusedDirectory = { by, reason: said.reason, detail: said.detail }
    Effect.runFork(storage.refuse(refused).pipe(Effect.catch((error) => Effect.sync(() => failed(error)))))
    withdrawn(refused)
  })
}
