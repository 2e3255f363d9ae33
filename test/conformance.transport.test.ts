/** Every transport of ours keeps the contract, and the suite notices those that do not. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { describe, expect, test } from "vitest"
import type { Member, Message } from "../core/index.ts"
import type { Transport, TransportHandlers } from "../interpreters/contract.ts"
import type { LocalHello } from "../interpreters/hello.ts"
import { makeMemoryNetwork } from "../interpreters/memory/index.ts"
import { makeExchange, makePortTransport, type MessagePortLike, type PortLimits } from "../interpreters/port/index.ts"
import { makeTcpTransport, type TcpTransport } from "../interpreters/tcp/index.ts"
import { runConformance, transportConformance, type Joining, type TransportSubject } from "../spec/conformance/index.ts"

const helloOf = ({ start, recovered, cluster }: Joining): LocalHello => ({
  cluster,
  clientAddress: "",
  empty: cluster === null,
  founding: null,
  start,
  recovered,
  refused: null,
})
/** Signs of life come often here: a check waits for one. */
const limits = { aliveMs: 50 }

const overTcp = (): Promise<TransportSubject> => {
  const ports = new Map<string, number>()
  const alive = new Map<string, TcpTransport>()
  return Promise.resolve({
    join: async (joining: Joining) => {
      const { name } = joining.member
      const scope = Scope.makeUnsafe()
      const double = alive.has(name)
      const peers = Object.fromEntries(
        [...ports].filter(([other]) => other !== name).map(([other, port]) => [other, { host: "127.0.0.1", port }]),
      )
      const transport = await Effect.runPromise(
        makeTcpTransport({
          self: joining.member,
          listen: { host: "127.0.0.1", port: double ? 0 : (ports.get(name) ?? 0) },
          peers,
          hello: helloOf(joining),
          log: () => undefined,
        }).pipe(Scope.provide(scope)),
      )
      if (!double) {
        const { port } = transport.address
        if (!ports.has(name)) for (const other of alive.values()) other.setPeer(name, { host: "127.0.0.1", port })
        ports.set(name, port)
        alive.set(name, transport)
      }
      return {
        transport,
        leave: async () => {
          if (alive.get(name) === transport) alive.delete(name)
          await Effect.runPromise(Scope.close(scope, Exit.void))
        },
      }
    },
    dispose: () => Promise.resolve(),
  })
}

const overPorts = (): Promise<TransportSubject> => {
  const exchange = makeExchange<MessagePortLike>(() => new MessageChannel())
  return Promise.resolve({
    join: (joining: Joining) => {
      const { member: self } = joining
      const transport = makePortTransport({
        self,
        hello: helloOf(joining),
        limits,
        lost: (peer) => exchange.renew(self.name, peer),
      })
      exchange.join(self.name, transport.connect)
      const leave = (): void => {
        exchange.leave(self.name)
        transport.close()
      }
      return Promise.resolve({ transport, leave: () => Promise.resolve(leave()) })
    },
    dispose: () => Promise.resolve(),
  })
}
/** `change`: what is wrong with it. */
const inMemory =
  (
    change: (transport: Transport, self: Member) => Partial<Transport> = () => ({}),
    told: (joining: Joining) => Joining = (joining) => joining,
    more: PortLimits = {},
  ) =>
  (): Promise<TransportSubject> => {
    const network = makeMemoryNetwork()
    return Promise.resolve({
      join: (joining: Joining) => {
        const { member: self } = joining
        const transport = network.join({ self, hello: helloOf(told(joining)), limits: { ...limits, ...more } })
        return Promise.resolve({
          transport: { ...transport, ...change(transport, self) },
          leave: () => Promise.resolve(transport.close()),
        })
      },
      dispose: () => Promise.resolve(),
    })
  }

const suites = { "interpreters/tcp": overTcp, "interpreters/port": overPorts, "interpreters/memory": inMemory() }
// Side by side: each check makes a network of its own, and waits most of the time.
describe.each(Object.entries(suites))("%s", (_, make) => {
  test.concurrent.each(transportConformance(make).map((check) => [check.name, check] as const))("%s", (_, { run }) =>
    run(),
  )
})

const bent = (message: Message): Message =>
  message.type === "RequestVoteReply" ? { ...message, granted: true } : message
const seededFaults: Readonly<Record<string, readonly [() => Promise<TransportSubject>, string]>> = {
  "alters a message": [
    inMemory((transport) => ({ send: (to, message, chunk) => transport.send(to, bent(message), chunk) })),
    "messages arrive as they are",
  ],
  "goes by the name alone": [
    () => {
      const latest = new Map<string, Member>()
      return inMemory((transport, self) => {
        latest.set(self.name, self)
        return { send: (to, message, chunk) => transport.send(latest.get(to.name) ?? to, message, chunk) }
      })()
    },
    "nothing reaches another incarnation",
  ],
  "does not ask for the cluster": [
    inMemory(undefined, (joining) => ({ ...joining, cluster: null })),
    "clusters do not mix",
  ],
  "calls every start the first": [
    inMemory(undefined, (joining) => ({ ...joining, start: { number: 1, words: [1] } })),
    "a start that went back is refused",
  ],
  "says that it lost nothing": [
    inMemory(undefined, (joining) => ({ ...joining, recovered: { term: 1000, index: 0 } })),
    "a log that holds less is refused",
  ],
  "answers within the call": [
    inMemory((transport) => {
      let told: TransportHandlers | null = null
      return {
        attach: (handlers) => {
          told = handlers
          transport.attach(handlers)
        },
        send: (to, message, chunk) => {
          transport.send(to, message, chunk)
          told?.received(to, message, chunk)
        },
      }
    }),
    "handlers are called later",
  ],
  "gives all answers one number": [
    inMemory((transport) => ({ sendService: (to, message) => transport.sendService?.(to, { ...message, ref: 1 }) })),
    "questions of services arrive as they are",
  ],
  "keeps whatever it is given": [inMemory(undefined, undefined, { unsentBytes: 1e12 }), "memory is bounded"],
}
test.concurrent.each(Object.entries(seededFaults))("a transport that %s is found out", async (_, [make, name]) => {
  const { ok, results } = await runConformance(transportConformance(make).filter((check) => check.name === name))
  expect(results.map(({ outcome }) => outcome)).toEqual(["failed"])
  expect(ok).toBe(false)
})
