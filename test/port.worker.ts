/** A replica in a worker thread: peers over ports, the log in a directory, words as its state. */
import { parentPort, workerData, type MessagePort } from "node:worker_threads"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { defaultSettings, initialState, inPlace, type Configuration, type Member } from "../core/index.ts"
import { openFileStorage } from "../interpreters/file/index.ts"
import { makeClock, makeDriver, makeTimers, payloadOf } from "../interpreters/index.ts"
import { makePortTransport } from "../interpreters/port/index.ts"
import { makeMachineDisk } from "./memory.machine.ts"

/** To the worker, and from it. */
export type ToWorker =
  | { readonly type: "found"; readonly founding: Configuration }
  | { readonly type: "port"; readonly peer: string; readonly port: MessagePort }
  | { readonly type: "propose"; readonly word: string }
  | { readonly type: "look" }
export type FromWorker =
  | { readonly type: "identity"; readonly self: Member; readonly founded: boolean }
  | { readonly type: "lost"; readonly peer: string }
  | {
      readonly type: "seen"
      readonly leads: boolean
      readonly term: number
      readonly words: readonly string[]
      readonly gone: readonly string[]
    }

const parent = parentPort
const { name, directory } = workerData as { readonly name: string; readonly directory: string }
if (parent === null) throw new Error("it runs as a worker")
const tell = (message: FromWorker): void => parent.postMessage(message)

const waiting: ToWorker[] = []
let handle = (message: ToWorker): void => void waiting.push(message)
parent.on("message", (message: ToWorker) => handle(message))

const storage = await Effect.runPromise(
  openFileStorage({ directory, name, space: { lowWater: 1, highWater: 2 } }).pipe(Scope.provide(Scope.makeUnsafe())),
)
const start = (): void => {
  const { self, cluster, founding } = storage.identity
  const machine = makeMachineDisk<readonly string[]>({
    initial: [],
    apply: (state, command) => [...state, new TextDecoder().decode(command)],
    encode: (state) => new TextEncoder().encode(JSON.stringify(state)),
    decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)) as readonly string[],
  }).open()
  const gone: string[] = []
  const transport = makePortTransport({
    self,
    hello: {
      cluster,
      clientAddress: "",
      empty: false,
      founding,
      start: storage.start,
      recovered: storage.recovered,
      refused: null,
    },
    sightings: storage.sightings,
    lost: (peer) => tell({ type: "lost", peer }),
  })
  const { stored } = storage
  const state = initialState(
    { ...defaultSettings, heartbeat: 30, electionMin: 200, electionMax: 400, disconnectMax: 50 },
    {
      self,
      bootId: storage.start.number,
      ...stored,
      position: { index: 0, term: 0, time: 0, chain: 0, configuration: stored.base.configuration },
    },
  )
  const driver = makeDriver({
    runner: inPlace(state),
    storage,
    machine,
    timers: makeTimers(),
    clock: makeClock(),
    transport: {
      ...transport,
      attach: (handlers) =>
        transport.attach({ ...handlers, disconnected: (peer) => (gone.push(peer.name), handlers.disconnected(peer)) }),
    },
    onFatal: (error) => {
      throw error
    },
  })
  driver.start()
  handle = (message) => {
    switch (message.type) {
      case "found":
        return
      case "port":
        return transport.connect(message.peer, message.port)
      case "propose":
        return driver.propose([payloadOf(new TextEncoder().encode(message.word))], () => undefined)
      case "look":
        return tell({
          type: "seen",
          leads: driver.leadership().role === "leader",
          term: driver.leadership().term,
          words: machine.state(),
          gone,
        })
    }
  }
  for (const message of waiting.splice(0)) handle(message)
}

if (storage.identity.cluster === null) {
  handle = (message) => {
    if (message.type !== "found") return void waiting.push(message)
    void Effect.runPromise(storage.found("workers", message.founding)).then(start)
  }
  tell({ type: "identity", self: storage.identity.self, founded: false })
} else {
  tell({ type: "identity", self: storage.identity.self, founded: true })
  start()
}
