/**
 * Each rule of kv/alerts.yml over metrics of real nodes that had its fault: it is quiet before, waits as long as it says,
 * fires, and clears. The durations pass in virtual time, in promtool (Debian: prometheus). With STEPRAFT_ALL.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { defaultSettings } from "../core/index.ts"
import { openFileStorage } from "../interpreters/file/index.ts"
import { makeTcpTransport } from "../interpreters/tcp/index.ts"
import { checkRules, hasPromtool, isCalm, record, scrape, type Recording } from "./alerts.recorded.ts"
import { readAlerts } from "./alerts.ts"
import { temporaryFolder, until } from "./cluster.ts"
import { lossyFiles, type Faults } from "./lossy-files.ts"
import type { Samples } from "./metrics.ts"
import { localCluster, type LocalCluster, type LocalNode } from "./node.help.ts"
import { authority, DAY, shownBy } from "./tls.kit.ts"
import { turn } from "./waiting.ts"

const HEALTHY_MINUTES = 20
/** More than the quarter of a second that HighCommitDurations allows. */
const BUSY_MS = 270
const busy = (): void => {
  const end = performance.now() + BUSY_MS
  while (performance.now() < end);
}
/** On all nodes: how many took longer than so many seconds, a boundary of the histogram. */
const slower = async (nodes: readonly LocalNode[], histogram: string, seconds: number): Promise<number> => {
  let count = 0
  for (const [key, value] of (await Promise.all(nodes.map(scrape))).flatMap((samples) => [...(samples ?? [])]))
    if (key.startsWith(`${histogram}_count`)) count += value
    else if (key.startsWith(`${histogram}_bucket`) && key.includes(`le="${seconds}"`)) count -= value
  return count
}
const SYNC = "stepraft_disk_wal_fsync_duration_seconds"
const BATCH = "stepraft_disk_backend_commit_duration_seconds"
const ROUND_TRIP = "stepraft_network_peer_round_trip_time_seconds"
const GIGABYTES = 1e9
const ROOMY: Faults = { freeBytes: 100 * GIGABYTES }

interface Fault {
  /** Every rule of these names is checked, each with the minutes for which it must hold. */
  readonly alerts: Readonly<Record<string, readonly number[]>>
  /** Minutes of history that its expression looks at, for firing and for clearing. */
  readonly window: number
  readonly clears?: number
  /** Injects it, and records. */
  readonly during: () => Promise<Recording>
  readonly heal: () => Promise<unknown>
}

describe("the rules over recorded faults", () => {
  let cluster: LocalCluster
  let healthy: Recording
  let faults: () => Faults = () => ROOMY
  /** Milliseconds that the wall clocks are ahead. */
  let ahead = 0
  const files = lossyFiles({ faults: () => faults() })

  const start = (node: LocalNode): Promise<unknown> => node.start({}, { files })
  const isReady = async (node: LocalNode): Promise<boolean> =>
    (await fetch(`http://${node.status().http ?? "none"}/readyz`)).status === 200
  const allReady = (): Promise<unknown> =>
    until("all are ready", async () => (await Promise.all(cluster.nodes.map(isReady))).every(Boolean))
  /** So long that every keep-alive, look and measurement of a node comes several times. */
  const seconds = (count: number): Promise<unknown> => {
    const end = performance.now() + count * 1000
    return until("some time has passed", () => performance.now() > end)
  }
  const write = async (node: LocalNode, count: number, atOnce: number): Promise<void> => {
    const client = await cluster.connect(node)
    for (let i = 0; i < count; i += atOnce)
      await Promise.all(
        Array.from({ length: Math.min(atOnce, count - i) }, (_, k) => client.call("SET", `k${i + k}`, "v")),
      )
  }
  const followers = async (): Promise<readonly LocalNode[]> => {
    const leader = await cluster.leader()
    return cluster.nodes.filter((node) => node !== leader)
  }

  const checked = new Set<string>()
  const check = (
    alert: string,
    waits: readonly number[],
    recording: Recording,
    { window, clears = window }: Fault,
  ): void => {
    const rules = readAlerts().filter(({ name }) => name === alert)
    checked.add(alert)
    expect(
      rules.map(({ after }) => after),
      alert,
    ).toEqual(waits)
    for (const { severity, after } of rules) {
      const minutes = window + after + 5
      const end = HEALTHY_MINUTES + minutes
      const phases = [
        { minutes: HEALTHY_MINUTES, recording: healthy },
        { minutes, recording },
        { minutes: clears + 15, recording: healthy },
      ]
      checkRules(phases, [
        {
          alert,
          severity,
          quiet: [HEALTHY_MINUTES - 1, ...(after === 0 ? [] : [HEALTHY_MINUTES + after - 0.5]), end + clears + 5],
          fires: [HEALTHY_MINUTES + window + after + 3],
        },
      ])
    }
  }

  beforeAll(async () => {
    if (!hasPromtool()) return
    const real = Date.now.bind(Date)
    vi.spyOn(Date, "now").mockImplementation(() => real() + ahead)
    cluster = await localCluster(3, {
      http: { host: "127.0.0.1", port: 0 },
      service: { writeTimeout: 300, readTimeout: 300 },
      settings: { ...defaultSettings, electionMin: 2000, electionMax: 4000, diskStallTimeout: 30_000 },
    })
    await Promise.all(cluster.nodes.map(start))
    await allReady()
    // On a machine with other work it may take some time until nothing is slow.
    healthy = await until("nothing is slow", async () => {
      const recording = await record(cluster.nodes, async () =>
        Promise.all([seconds(3), write(await cluster.leader(), 100, 1)]),
      )
      return isCalm(recording) ? recording : null
    })
  }, 1_800_000)
  afterAll(async () => {
    vi.restoreAllMocks()
    await cluster?.dispose()
  })

  const injected = (name: string, make: () => Promise<Fault> | Fault): void => {
    test(name, async (context) => {
      if (!hasPromtool()) return context.skip("not run: there is no promtool here (Debian: apt-get install prometheus)")
      const fault = await make()
      const recording = await fault.during()
      await fault.heal()
      await allReady()
      for (const [alert, minutes] of Object.entries(fault.alerts)) check(alert, minutes, recording, fault)
    })
  }

  injected("a follower is down while others write", async () => {
    const [away] = await followers()
    if (away === undefined) throw new Error("no follower")
    await away.stop()
    const leader = await cluster.leader()
    return {
      alerts: { stepraftMembersDown: [20], stepraftFollowerLagging: [5] },
      window: 0,
      during: () => record(cluster.nodes, () => write(leader, 1500, 100)),
      heal: () => start(away),
    }
  })

  injected("a majority is down", async () => {
    const away = await followers()
    const leader = await cluster.leader()
    return {
      alerts: {
        stepraftNoLeader: [1],
        stepraftInsufficientMembers: [3],
        stepraftHighNumberOfFailedRequests: [10, 5],
        stepraftHighNumberOfFailedProposals: [15],
      },
      window: 15,
      during: async () => {
        await Promise.all(away.map((node) => node.stop()))
        await until("nobody leads", () => leader.status().leader === null)
        return record(cluster.nodes, () => write(leader, 400, 50))
      },
      heal: () => Promise.all(away.map(start)),
    }
  })

  injected("leadership goes from one to the other", () => ({
    alerts: { stepraftHighNumberOfLeaderChanges: [5] },
    window: 15,
    during: () =>
      record(cluster.nodes, async () => {
        for (let i = 0; i < 5; i++) {
          const leader = await cluster.leader()
          const client = await cluster.connect(leader)
          await client.call("STEPRAFT", "TRANSFER")
          await until("another one leads", async () => (await cluster.leader()) !== leader)
        }
      }),
    heal: () => Promise.resolve(),
  }))

  injected("disks that take more than a second", () => ({
    alerts: { stepraftHighFsyncDurations: [10, 10], stepraftRequestsSlow: [10] },
    window: 5,
    during: async () => {
      faults = () => ({ ...ROOMY, slowSync: 1100 })
      const leader = await cluster.leader()
      const before = await slower(cluster.nodes, SYNC, 1.024)
      // A write is given up before its sync ends.
      return record(cluster.nodes, async () => {
        await write(leader, 4, 1)
        await until("a slow sync is counted", async () => (await slower(cluster.nodes, SYNC, 1.024)) > before)
      })
    },
    heal: () => Promise.resolve((faults = () => ROOMY)),
  }))

  injected("a machine without CPU to spare", () => ({
    alerts: { stepraftMemberCommunicationSlow: [10], stepraftHighCommitDurations: [10] },
    window: 5,
    during: async () => {
      const leader = await cluster.leader()
      const slow = (): Promise<number[]> =>
        Promise.all([slower(cluster.nodes, BATCH, 0.256), slower(cluster.nodes, ROUND_TRIP, 0.128)])
      const before = await slow()
      const isCounted = async (): Promise<boolean> => (await slow()).every((count, i) => count > (before[i] ?? 0))
      return record(cluster.nodes, async () => {
        const writer = { done: false }
        // A write is given up long before it is executed.
        const writing = until("slow ones are counted", async () => {
          await write(leader, 12, 2)
          return isCounted()
        }).finally(() => (writer.done = true))
        const end = performance.now() + 5000
        // Busy before and after the sockets and disks are looked at: whatever is begun anywhere waits for one of the two.
        const timer = setInterval(busy, 1)
        while (!writer.done || performance.now() < end) {
          busy()
          await turn()
        }
        clearInterval(timer)
        await writing
      })
    },
    heal: () => Promise.resolve(),
  }))

  injected("a disk without room", () => ({
    alerts: { stepraftDatabaseQuotaLowSpace: [10] },
    window: 0,
    during: async () => {
      faults = () => ({ freeBytes: 0 })
      const leader = await cluster.leader()
      await until("it is noticed", () => leader.status().health !== "ok")
      return record(cluster.nodes, () => seconds(0))
    },
    heal: async () => {
      faults = () => ROOMY
      await until("there is room everywhere", () => cluster.nodes.every((node) => node.status().health === "ok"))
    },
  }))

  injected("a disk that fills up", () => ({
    alerts: { stepraftExcessiveDatabaseGrowth: [10] },
    window: 120,
    clears: 240,
    during: () => {
      const began = performance.now()
      // Ten megabytes a second: three hours.
      faults = () => ({ freeBytes: 100 * GIGABYTES - (performance.now() - began) * 10_000 })
      return record(cluster.nodes, () => seconds(5))
    },
    heal: () => Promise.resolve((faults = () => ROOMY)),
  }))

  injected("clocks that are set a minute ahead", () => ({
    alerts: { stepraftClockOff: [10] },
    window: 0,
    during: async () => {
      ahead = 60_000
      await until("it is noticed", () => cluster.nodes.every((node) => /clock/.test(node.status().health)))
      return record(cluster.nodes, () => seconds(0))
    },
    heal: async () => {
      ahead = 0
      await until("they are right again", () => cluster.nodes.every((node) => node.status().health === "ok"))
    },
  }))

  injected("somebody says what no correct node says", async () => {
    const [liar, victim] = await followers()
    if (liar === undefined || victim === undefined) throw new Error("no followers")
    const { term } = victim.status()
    await liar.stop()
    const scope = Scope.makeUnsafe()
    return {
      alerts: { stepraftInvariantViolated: [0] },
      window: 60,
      // Its directory and its address, and another program.
      during: () =>
        record(cluster.nodes, async () => {
          const storage = await Effect.runPromise(
            openFileStorage({ directory: `${liar.config.dataDir}/log`, name: liar.id }).pipe(Scope.provide(scope)),
          )
          const { self, cluster: id, founding } = storage.identity
          const transport = await Effect.runPromise(
            makeTcpTransport({
              self,
              listen: liar.config.peer,
              peers: { [victim.id]: victim.config.peer },
              log: () => undefined,
              sightings: storage.sightings,
              hello: {
                cluster: id,
                clientAddress: "",
                empty: false,
                founding,
                start: storage.start,
                recovered: storage.recovered,
                refused: null,
              },
            }).pipe(Scope.provide(scope)),
          )
          let sent = 0
          transport.attach({
            received: () => undefined,
            connected: (to) => {
              transport.send(
                to,
                { type: "RequestVote", term: term + 2 ** 40, lastLogIndex: 1, lastLogTerm: 1, transfer: false },
                null,
              )
              transport.flush()
              sent++
            },
            disconnected: () => undefined,
          })
          await until("it was heard", () => sent > 0 && (victim.status().counters["term.outOfDomain"] ?? 0) > 0)
        }),
      heal: async () => {
        await Effect.runPromise(Scope.close(scope, Exit.void))
        await start(liar)
      },
    }
  })

  injected("a member comes back with an empty directory", async () => {
    const [lost] = await followers()
    if (lost === undefined) throw new Error("no follower")
    await lost.stop()
    return {
      alerts: { stepraftMemberLostDisk: [5] },
      window: 0,
      during: async () => {
        await lost.start({ dataDir: `${lost.config.dataDir}.new` }, { files })
        await until("it says so", () => lost.status().role === "amnesiac")
        return record(cluster.nodes, () => seconds(0))
      },
      heal: async () => {
        await lost.stop()
        await start(lost)
      },
    }
  })

  injected("a state machine that executes nothing", async () => {
    const [stuck] = await followers()
    const machine = stuck?.running?.machine() ?? null
    if (stuck === undefined || machine === null) throw new Error("no follower")
    const leader = await cluster.leader()
    Object.assign(machine, { apply: () => undefined })
    return {
      alerts: { stepraftApplyBehindCommit: [5] },
      window: 0,
      during: () => record(cluster.nodes, () => write(leader, 1500, 100)),
      heal: async () => {
        await stuck.stop()
        await start(stuck)
      },
    }
  })

  injected("a certificate that ends in half a day, and a file of users that cannot be used", async () => {
    const [node] = await followers()
    if (node === undefined) throw new Error("no follower")
    const folder = temporaryFolder()
    const at = (name: string): string => join(folder, name)
    const shown = shownBy(node.id, authority, { days: 20.5, from: new Date(Date.now() - 20 * DAY) })
    for (const name of ["cert", "key", "ca"] as const) writeFileSync(at(name), shown[name])
    writeFileSync(at("users"), "root admin -")
    const tls = { cert: at("cert"), key: at("key"), ca: at("ca") }
    await node.stop()
    return {
      alerts: { stepraftCertificateEnds: [60, 1], stepraftFilesUnusable: [10] },
      window: 0,
      during: async () => {
        await node.start(
          { security: { tls, plaintext: ["peers", "http"], authClients: "optional", users: at("users") } },
          { files, filesEveryMs: 50 },
        )
        writeFileSync(at("users"), "root")
        await until("it says so", () => node.status().details?.unusableFiles?.length === 1)
        return record(cluster.nodes, () => seconds(0))
      },
      heal: async () => {
        await node.stop()
        await start(node)
      },
    }
  })

  test.each([
    ["that has just begun", 6, 0, []],
    ["in its last third and on its last day", 6, 5.2, ["warning"]],
    ["in its last tenth", 6, 5.5, ["warning", "critical"]],
    ["that has ended", 6, 6.1, ["warning", "critical"]],
  ])("a certificate of six days %s", (_, days, age, severities) => {
    if (!hasPromtool()) return
    const begins = Date.now() / 1000 - age * 86_400
    const times: Samples = new Map([
      ["stepraft_tls_certificate_begin_timestamp_seconds", begins],
      ["stepraft_tls_certificate_end_timestamp_seconds", begins + days * 86_400],
    ])
    const recording = new Map(Array.from(healthy.keys(), (id) => [id, { before: times, after: times, seconds: 1 }]))
    checkRules(
      [{ minutes: 90, recording }],
      ["warning", "critical"].map((severity) => ({
        alert: "stepraftCertificateEnds",
        severity,
        quiet: severities.includes(severity) ? [] : [80],
        fires: severities.includes(severity) ? [80] : [],
      })),
    )
  })

  test("every alert has had its fault", () => {
    if (hasPromtool())
      expect(
        readAlerts()
          .map(({ name }) => name)
          .filter((name) => !checked.has(name)),
      ).toEqual([])
  })
})
