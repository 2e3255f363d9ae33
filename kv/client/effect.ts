/**
 * `import … from "stepraft/kv/client/effect"`: a service with typed errors, whose connection is acquired and released
 * with its scope. A separate entry, because loading Effect takes longer than the whole client.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type ConnectOptions, coreOf, runOn } from "./client.ts"
import {
  type Answers,
  type Commands,
  commands,
  conclude,
  makeTransaction,
  type CommandRequest,
  type Result,
  type ScanOptions,
  scanPage,
  type Transaction,
} from "./commands.ts"
import type { Endpoint } from "./endpoints.ts"
import type { ClientError } from "./errors.ts"
import { isClientError } from "./errors.ts"
import { scopedLeases } from "../../interpreters/lease/effect.ts"
import { LeaseRefused, type LeasesEffect } from "../../interpreters/lease/index.ts"
import { realSurroundings } from "../../interpreters/surroundings.ts"
import { leaseTable } from "./leases.ts"

type Face = {
  readonly [K in keyof Commands]: (...args: Parameters<Commands[K]>) => Effect.Effect<Answers<K>, ClientError>
}

/** `lock` and `elect`: leader election and leases for a program that wants nothing else. */
export interface EffectClient extends Face, LeasesEffect<ClientError | LeaseRefused> {
  readonly multi: () => Transaction<Effect.Effect<readonly Result[] | null, ClientError>>
  readonly scan: (options?: ScanOptions) => Stream.Stream<string, ClientError>
  readonly run: <A>(
    request: CommandRequest<A>,
    options?: { readonly timeoutMs?: number },
  ) => Effect.Effect<A, ClientError>
  readonly endpoint: Effect.Effect<Endpoint>
}

const isError = (thrown: unknown): thrown is ClientError | LeaseRefused =>
  thrown instanceof LeaseRefused || isClientError(thrown)

/**
 * A client that lives as long as its scope. Interrupting a command that was already sent does not undo it: its outcome
 * is unknown, as with Unknown, but no error reports that.
 */
export const makeEffectClient = Effect.fnUntraced(function* (options: ConnectOptions) {
  const core = yield* Effect.acquireRelease(
    Effect.sync(() => coreOf(options)),
    (core) => Effect.promise(() => core.close()),
  )
  const run = <A>(
    request: CommandRequest<A>,
    own: { readonly timeoutMs?: number } = {},
  ): Effect.Effect<A, ClientError> =>
    Effect.callback<A, ClientError>((resume) => {
      const cancel = core.submit(request.task, own.timeoutMs ?? request.timeoutMs, (outcome) => {
        const end = conclude(request, outcome)
        resume("answer" in end ? Effect.succeed(end.answer) : Effect.fail(end.error))
      })
      return Effect.sync(cancel)
    })
  const face = Object.fromEntries(
    Object.entries(commands).map(([name, make]) => [
      name,
      (...args: readonly unknown[]) => run((make as (...args: readonly unknown[]) => CommandRequest<unknown>)(...args)),
    ]),
  ) as unknown as Face
  const client: EffectClient = {
    ...face,
    ...scopedLeases(leaseTable(`client-${realSurroundings.secret(4)}`, runOn(core)), isError),
    run,
    multi: () => makeTransaction(face.exec),
    scan: (scanOptions) =>
      Stream.paginate("0", (cursor: string) =>
        run(scanPage(cursor, scanOptions)).pipe(
          Effect.map(({ cursor: next, keys }) => [keys, next === "0" ? Option.none() : Option.some(next)] as const),
        ),
      ),
    endpoint: Effect.sync(core.endpoint),
  }
  yield* client.call("PING")
  return client
})

/** `yield* ClientService` returns the client; `ClientService.layer({ endpoints })` provides it. */
export class ClientService extends Context.Service<ClientService, EffectClient>()("stepraft/Client") {
  static readonly layer = (options: ConnectOptions): Layer.Layer<ClientService, ClientError> =>
    Layer.effect(ClientService, makeEffectClient(options))
}
