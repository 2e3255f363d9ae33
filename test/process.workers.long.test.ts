/** Three replicas in worker threads: the worker that leads is terminated, and comes back from its directory. */
import { Worker, type MessagePort } from "node:worker_threads"
import { afterEach, expect, test } from "vitest"
import type { Member } from "../core/index.ts"
import { makeExchange } from "../interpreters/port/index.ts"
import { temporaryFolder, until } from "./cluster.ts"
import type { FromWorker, ToWorker } from "./port.worker.ts"

const ended: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ended.splice(0)) await end()
})

class Thread {
  readonly name: string
  self: Member | null = null
  seen: Extract<FromWorker, { readonly type: "seen" }> | null = null
  private readonly worker: Worker
  constructor(name: string, directory: string, exchange: ReturnType<typeof makeExchange<MessagePort>>) {
    this.name = name
    // Workers of Node 20 do not take --import from their parent.
    const file = JSON.stringify(new URL("port.worker.ts", import.meta.url).href)
    this.worker = new Worker(`import("tsx/esm/api").then(({ register }) => { register(); return import(${file}) })`, {
      eval: true,
      workerData: { name, directory },
    })
    ended.push(() => this.worker.terminate())
    this.worker.on("message", (message: FromWorker) => {
      if (message.type === "identity") this.self = message.self
      else if (message.type === "lost") exchange.renew(name, message.peer)
      else this.seen = message
    })
    exchange.join(name, (peer, port) =>
      this.worker.postMessage({ type: "port", peer, port } satisfies ToWorker, [port]),
    )
  }
  tell(message: ToWorker): void {
    this.worker.postMessage(message)
  }
  look(): this["seen"] {
    this.tell({ type: "look" })
    return this.seen
  }
  /** As kill -9 does it. */
  terminate(): Promise<unknown> {
    return this.worker.terminate()
  }
}

test("elect a leader over ports, survive its end, and take it back", async () => {
  const folder = temporaryFolder("stepraft-workers-")
  const exchange = makeExchange<MessagePort>(() => new MessageChannel())
  const begin = (name: string): Thread => new Thread(name, `${folder}/${name}`, exchange)
  const threads = new Map(["n1", "n2", "n3"].map((name) => [name, begin(name)]))
  const all = (): Thread[] => [...threads.values()]
  await until("all have opened their directories", () => all().every(({ self }) => self !== null))
  const founding = { voters: all().flatMap(({ self }) => self ?? []), outgoing: [], learners: [] }
  for (const thread of all()) thread.tell({ type: "found", founding })

  const leader = (): Promise<Thread> =>
    until("a leader", () => all().find((thread) => thread.look()?.leads === true) ?? null)
  const say = async (word: string): Promise<void> => {
    let asked = 0
    await until(`everybody has executed ${word}`, async () => {
      if (performance.now() - asked > 1000) {
        asked = performance.now()
        ;(await leader()).tell({ type: "propose", word })
      }
      return all().every((thread) => thread.look()?.words.includes(word) === true)
    })
  }
  await say("a")
  await say("b")
  const first = await leader()
  exchange.leave(first.name)
  threads.delete(first.name)
  await first.terminate()
  await until("the others have noticed that its port is closed", () =>
    all().every((thread) => thread.look()?.gone.includes(first.name) === true),
  )
  await say("c")
  threads.set(first.name, begin(first.name))
  await say("d")
  for (const thread of all()) expect(new Set(thread.seen?.words)).toEqual(new Set(["a", "b", "c", "d"]))
})
