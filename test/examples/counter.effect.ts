/**
 * A counter with Effect, on three servers: counter.effect.ts ID. The README of interpreters shows the code in the
 * regions; the code between them is load for the test.
 */
import { load } from "./load.ts"
// #region README
import * as Effect from "effect/Effect"
import { NotExecuted, replicaService } from "stepraft"

const Counter = replicaService<{ count: number }, { readonly add: number }, number>("Counter")
const [id = "a"] = process.argv.slice(2)
const layer = Counter.layer({
  id,
  data: `./${id}`,
  peers: { a: "127.0.0.1:8001", b: "127.0.0.1:8002", c: "127.0.0.1:8003" },
  machine: { initial: { count: 0 }, apply: (state, { add }) => (state.count += add) },
})
const program = Effect.gen(function* () {
  const counter = yield* Counter
  yield* Effect.promise(counter.ready)
  // #endregion
  yield* Effect.promise(() =>
    load({ id, add: () => counter.execute({ add: 1 }), read: () => counter.read(({ count }) => count) }),
  )
  yield* Effect.promise(async () => console.log(`state ${await counter.read(({ count }) => count)}`))
  // #region README
  const now = yield* Effect.tryPromise({ try: () => counter.execute({ add: 1 }), catch: (error) => error }).pipe(
    // What was certainly not executed can be tried again; for what is unknown, somebody must look.
    Effect.retry({ while: (error) => error instanceof NotExecuted && error.reason === "noLeader" }),
  )
  yield* Effect.sync(() => console.log(`counted to ${now}`))
})
// The scope ends with the program: leadership is handed over, and everything is closed.
await Effect.runPromise(program.pipe(Effect.provide(layer)))
// #endregion
