/**
 * Replaces the Go program on machines without Go: the same closed loop, in this process. It uses more CPU time itself.
 */
import { readFileSync } from "node:fs"
import { openResp, ErrorReply } from "../resp.ts"
import type { Generator, Sample } from "./systems.ts"
import { seeded } from "../disk.ts"

const ticksPerSecond = 100
const cpuSeconds = (pid: number): number => {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1")
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

const flagsOf =
  (words: readonly string[]) =>
  (name: string, otherwise: string): string => {
    const at = words.indexOf(`-${name}`)
    return at < 0 ? otherwise : (words[at + 1] ?? otherwise)
  }

export const plainGenerator: Generator = {
  etcd: false,
  version: `Node ${process.versions.node}`,
  run: async (system, words): Promise<Sample> => {
    const flag = flagsOf(words)
    const clients = Number(flag("clients", "16"))
    const connections = Math.min(clients, Number(flag("connections", "0")) || clients)
    const keys = Number(flag("keys", "100000"))
    const op = flag("op", "put")
    const fill = words.includes("-fill")
    const pause = Number.parseInt(flag("pause", "0"), 10)
    const endpoints = flag("endpoints", "").split(",")
    const value = "v".repeat(256)
    const open = await Promise.all(
      Array.from({ length: connections }, (_, i) =>
        openResp(Number((endpoints[i % endpoints.length] ?? "").split(":")[1])),
      ),
    )
    if (op === "local") await Promise.all(open.map((client) => client.call("READONLY")))

    const random = seeded(1)
    const latencies: number[] = []
    const state = { measuring: fill, stopped: false, next: 0, failures: 0, error: "" }
    const one = async (i: number): Promise<void> => {
      const client = open[i % open.length]
      if (client === undefined) return
      let turn = i
      while (!state.stopped) {
        const number = fill ? state.next++ : Math.floor(random() * keys)
        if (number >= keys) return
        const key = `key${String(number).padStart(13, "0")}`
        const from = performance.now()
        const reply = await (op === "put" || (op === "mixed" && turn++ % 2 === 0)
          ? client.call("SET", key, value)
          : client.call("GET", key))
        if (reply instanceof ErrorReply) {
          state.failures++
          state.error = reply.text
        } else if (state.measuring) latencies.push(performance.now() - from)
        if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause))
      }
    }
    const running = Promise.all(Array.from({ length: clients }, (_, i) => one(i)))
    if (!fill) await new Promise((resolve) => setTimeout(resolve, Number(flag("warm", "1")) * 1000))
    state.measuring = true
    const serversBefore = system.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
    const own = process.cpuUsage()
    const from = performance.now()
    if (fill) await running
    else await new Promise((resolve) => setTimeout(resolve, Number(flag("seconds", "3")) * 1000))
    state.measuring = false
    const seconds = (performance.now() - from) / 1000
    const used = process.cpuUsage(own)
    const serverCpu = system.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0) - serversBefore
    state.stopped = true
    await running
    for (const client of open) client.close()
    const sorted = latencies.sort((a, b) => a - b)
    const share = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] ?? 0
    return {
      ops: sorted.length,
      perSecond: sorted.length / seconds,
      p50: share(0.5),
      p99: share(0.99),
      serverCpu: (serverCpu * 1e6) / Math.max(1, sorted.length),
      clientCpu: (used.user + used.system) / Math.max(1, sorted.length),
      failures: state.failures,
      error: state.error,
    }
  },
}
