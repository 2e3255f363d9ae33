/** A counter with Effect: counter.effect.ts ID DIRECTORY PEERS, with PEERS as JSON. It counts for as long as it runs. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { NotExecuted, replicaService } from "stepraft"

const Counter = replicaService<{ count: number }, { readonly add: number }, number>("Counter")

const program = Effect.gen(function* () {
  const counter = yield* Counter
  yield* Effect.promise(counter.ready)
  const count = Effect.tryPromise({ try: () => counter.execute({ add: 1 }), catch: (error) => error }).pipe(
    // What was certainly not executed can be tried again; for what is unknown, somebody must look.
    Effect.retry({ while: (error) => error instanceof NotExecuted && error.reason === "noLeader" }),
    Effect.matchEffect({
      onSuccess: (now) => Effect.sync(() => console.log(`count ${now}`)),
      onFailure: (error) => Effect.sync(() => console.log(`unknown ${String(error)}`)),
    }),
  )
  yield* Effect.repeat(count, Schedule.spaced("5 millis"))
})

const [id = "", data = "", peers = "{}"] = process.argv.slice(2)
const layer = Counter.layer({
  id,
  data,
  peers: JSON.parse(peers) as Record<string, string>,
  machine: { initial: { count: 0 }, apply: (state, { add }) => (state.count += add) },
})
await Effect.runPromise(program.pipe(Effect.provide(layer)))
