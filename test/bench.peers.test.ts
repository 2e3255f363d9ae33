/** The comparison with others: what cannot be measured is told as that, and costs no other figure. */
import { createServer } from "node:net"
import { expect, test } from "vitest"
import { plainGenerator } from "./bench/plain.ts"
import { nothing, sampleIn, sampleOf, type Cell, type Sample, type System } from "./bench/systems.ts"
import { tableOf } from "./bench/table.ts"
import { freePort } from "./cluster.ts"

const cell: Cell = { op: "mixed", clients: 2, connections: 0 }
const shared: Cell = { op: "mixed", clients: 2, connections: 1 }
const good = (perSecond: number): Sample => ({
  ...nothing(""),
  ops: 10,
  perSecond,
  p50: 1,
  p99: 2,
  serverCpu: 3,
  clientCpu: 4,
  failures: 0,
})

test("what etcd's client complains of is not taken for figures", () => {
  const complaint =
    '{"level":"warn","ts":"2026-11-26T04:00:00.000Z","caller":"clientv3/retry_interceptor.go:62","msg":"retrying of unary invoker failed"}'
  expect(sampleIn(`${complaint}\n${JSON.stringify(good(7))}\n${complaint}\n`)).toEqual(good(7))
  expect(sampleIn(complaint)).toBeNull()
})

test("a cell without a successful operation, or whose system is gone, is a dash among figures", async () => {
  const refusing = createServer((socket) => {
    socket.on("data", (bytes) =>
      socket.write("-NOLEADER none\r\n".repeat(bytes.toString("latin1").split("*").length - 1)),
    )
    socket.on("error", () => {})
  })
  const port = await freePort()
  await new Promise<void>((resolve) => refusing.listen(port, "127.0.0.1", resolve))
  const system = { name: "stepraft", pids: [process.pid] } as unknown as System
  const run = (at: number): Promise<Sample> =>
    sampleOf(() =>
      plainGenerator.run(system, [
        "-endpoints",
        `127.0.0.1:${at}`,
        "-op",
        "mixed",
        "-clients",
        "2",
        "-seconds",
        "0.1",
        "-warm",
        "0",
      ]),
    )
  const refused = await run(port)
  await new Promise((resolve) => refusing.close(resolve))
  const gone = await run(await freePort())
  expect(refused).toMatchObject({ ops: 0, serverCpu: expect.any(Number), error: "NOLEADER none" })
  expect(gone).toMatchObject({ ops: 0, error: expect.stringMatching(/ECONNREFUSED/) })

  const at = (name: string, of: Cell, round: number, sample: Sample) => ({ system: name, cell: of, round, sample })
  const measured = [
    at("stepraft", cell, 0, refused),
    at("stepraft", cell, 1, good(200)),
    at("etcd", cell, 0, good(100)),
    at("etcd", cell, 1, good(100)),
    at("stepraft", shared, 0, gone),
    at("stepraft", shared, 1, gone),
    at("etcd", shared, 0, good(50)),
    at("etcd", shared, 1, good(150)),
  ]
  expect(tableOf("mixed", [cell, shared], measured, ["stepraft", "etcd"]).split("\n").slice(2)).toEqual([
    "| stepraft, ops/s | 200 | – |",
    "| etcd, ops/s | 100 | 100 |",
    "| **stepraft : etcd**, rounds | **2.0×** (– 2.0×) | **–** (– –) |",
    "| stepraft, **one connection : one each** |  | **–** (– –) |",
    "| etcd, **one connection : one each** |  | **1.0×** (0.50× 1.5×) |",
    "| stepraft, p50 / p99 ms | 1.0 / 2.0 | – / – |",
    "| etcd, p50 / p99 ms | 1.0 / 2.0 | 1.0 / 2.0 |",
    "| stepraft, CPU µs an operation: servers + client | 3 + 4 | – + – |",
    "| etcd, CPU µs an operation: servers + client | 3 + 4 | 3 + 4 |",
  ])
})
