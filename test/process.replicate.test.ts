/** `replicate` in three processes: kill -9 of each in turn under load, and of all at once. Nothing acknowledged is lost, nothing is doubled. */
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { freePort, full, launch, root, temporaryFolder, until, type Watched } from "./cluster.ts"

interface State {
  readonly seen: Readonly<Record<string, readonly number[]>>
  readonly doubled: number
}
const running: Watched[] = []
afterAll(() => {
  for (const process of running) process.signal("SIGKILL")
})

test("each of three is killed under load, and all at once: what was acknowledged is there, once", async () => {
  const folder = temporaryFolder("stepraft-counters-")
  const ids = ["a", "b", "c"]
  const peers: Record<string, string> = {}
  for (const id of ids) peers[id] = `127.0.0.1:${await freePort()}`
  const start = (id: string): Watched => {
    const child = launch("node", ["--import", "tsx", join(root, "test/examples/counters.ts"), id, join(folder, id), JSON.stringify(peers)])
    running.push(child)
    return child
  }
  const now = new Map(ids.map((id) => [id, start(id)]))
  const of = (id: string): Watched => now.get(id) ?? start(id)
  const acks = (child: Watched): number => child.output().split("\nack ").length
  const more = (id: string): Promise<unknown> => {
    const before = acks(of(id))
    return until(`${id} has more acknowledged`, () => (acks(of(id)) > before + 30 ? true : null))
  }
  const kill = async (...some: readonly string[]): Promise<void> => {
    for (const id of some) of(id).signal("SIGKILL")
    await Promise.all(some.map((id) => of(id).exited))
  }
  await Promise.all(ids.map(more))
  for (const id of full ? [...ids, ...ids] : ids) {
    await kill(id)
    await Promise.all(ids.filter((other) => other !== id).map(more))
    now.set(id, start(id))
    await more(id)
  }
  await kill(...ids)
  for (const id of ids) now.set(id, start(id))
  await Promise.all(ids.map(more))

  for (const id of ids) of(id).signal("SIGUSR2")
  const states: State[] = []
  for (const id of ids) {
    of(id).signal("SIGTERM")
    expect(await of(id).exited).toBe(0)
    const line = of(id).output().split("\n").find((text) => text.startsWith("state "))
    states.push(JSON.parse(line?.slice("state ".length) ?? "null") as State)
    if (states.length === 2) break
  }
  const acknowledged = running.flatMap((child) => Array.from(child.output().matchAll(/^ack (\S+) (\d+)$/gmu), ([, by = "", number = ""]) => ({ by, number: Number(number) })))
  expect(acknowledged.length).toBeGreaterThan(300)
  for (const { seen, doubled } of states) {
    expect(doubled).toBe(0)
    const held = new Map(Object.entries(seen).map(([by, numbers]) => [by, new Set(numbers)]))
    expect(acknowledged.filter(({ by, number }) => held.get(by)?.has(number) !== true)).toEqual([])
  }
}, 300_000)
