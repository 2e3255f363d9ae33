/** What health makes of what is known: one line for each reason, and the reason that must be mended first. */
import { expect, test, vi } from "vitest"
import { initialState, defaultSettings, type Configuration, type Member, type State } from "../core/index.ts"
import { healthOf, isLoading, watchHealth, type Facts, type Health } from "../interpreters/node/health.ts"
import { livez, readyz, runChecks } from "../interpreters/node/checks.ts"
import { makeLog } from "../interpreters/node/log.ts"
import { fresh } from "./tcp.nodes.ts"

const [n1, n2, n3] = ["n1", "n2", "n3"].map((name): Member => ({ name, incarnation: `${name}-a` })) as [
  Member,
  Member,
  Member,
]
const configuration: Configuration = { voters: [n1, n2, n3], outgoing: [], learners: [] }
const base = { index: 0, term: 0, time: 0, chain: 0, configuration }
const stateOf = (change: Partial<State> = {}): State => ({
  ...initialState(defaultSettings, {
    self: n1,
    bootId: 1,
    hardState: { term: 7, vote: null },
    base,
    entries: [],
    position: base,
  }),
  ...change,
})

type Link = Facts["links"][number]
const link = (member: Member, change: Partial<Link> = {}): Link => ({
  name: member.name,
  member,
  connected: true,
  problem: null,
  refused: null,
  lastReceivedMs: 10,
  transitMs: 2,
  behindBytes: 0,
  arriving: null,
  hello: { ...fresh, member, target: "n1", listens: "", advertises: "", dials: "", empty: false, cluster: "c" },
  ...change,
})
const facts = (change: Partial<Facts> = {}): Facts => ({
  self: n1,
  phase: { doing: "opening" },
  state: stateOf(),
  stopping: false,
  failed: null,
  refused: null,
  leaderlessMs: null,
  links: [link(n2), link(n3)],
  unlisted: [],
  pending: { ms: 0, wanting: null },
  short: null,
  clock: null,
  ...change,
})
const down = (member: Member, problem: string): Link => link(member, { connected: false, problem })
const empty = (name: string): Link =>
  link(
    { name, incarnation: "new" },
    { hello: { ...fresh, member: { name, incarnation: "new" }, target: "n1", listens: "", advertises: "", dials: "" } },
  )
const forming: Partial<Facts> = {
  state: null,
  phase: { doing: "forming" },
  links: [empty("n2"), down(n3, "cannot reach n3 at h:3 (ECONNREFUSED)")],
}

test.each<[string, Partial<Facts>, string, RegExp]>([
  ["nothing wrong", {}, "ok", /^ok$/],
  [
    "the log being read",
    { state: null, phase: { doing: "reading", bytes: 34_000_000, file: 3, files: 5 } },
    "starting",
    /^starting: reading the log \(34 MB, file 3 of 5\)$/,
  ],
  [
    "the tables being checked",
    { state: null, phase: { doing: "checking", bytes: 1_200_000_000, of: 2e9 } },
    "starting",
    /^starting: checking the data \(1200 MB of 2000 MB\)$/,
  ],
  [
    "an empty directory, and one that is not up",
    forming,
    "forming",
    /^forming: its directory is empty; waiting for n3\. .*\(n3: cannot reach n3 at h:3 \(ECONNREFUSED\)\)$/,
  ],
  [
    "one with data, the others empty",
    { state: null, phase: { doing: "waiting", of: "n3", cluster: "old" }, links: [empty("n2"), link(n3)] },
    "amnesiac",
    /n3 holds data of cluster old that do not know it \(incarnation n1-a\).*So is n2\. If n3 was started with an old directory by mistake, stop it .*form a new cluster by themselves.*bring the directories of n1 and n2 back/,
  ],
  [
    "the others with data",
    { state: null, phase: { doing: "waiting", of: "n3", cluster: "c" } },
    "amnesiac",
    /its disk was lost or replaced, or it is new.* stepraft member replace NAME/,
  ],
  [
    "a cluster whose founders were all replaced, so that none can say who founded it",
    { state: null, phase: { doing: "forming" } },
    "amnesiac",
    /n2 holds data of cluster c that do not know it.* stepraft member replace NAME/,
  ],
  [
    "a slow link",
    { leaderlessMs: 3000, links: [link(n2, { transitMs: 4210, behindBytes: 7_900_000 }), link(n3)] },
    "no leader",
    /^no leader for 3\.0 s: messages take longer than an election timeout \(0\.5 s\) \(the link with n2 is slow: a round trip takes 4\.2 s, 7\.9 MB are being sent to it\)$/,
  ],
  [
    "a large message coming in over a slow link",
    {
      leaderlessMs: 3000,
      links: [link(n2, { transitMs: 4000, arriving: { have: 3_100_000, whole: 8_400_000 } }), link(n3)],
    },
    "no leader",
    /3\.1 MB of a message of 8\.4 MB from it have arrived/,
  ],
  [
    "paused peers",
    {
      leaderlessMs: 4000,
      links: [link(n2, { lastReceivedMs: 4000, transitMs: 4000 }), link(n3, { lastReceivedMs: 3900 })],
    },
    "no leader",
    /of 3 only this one is \(not a byte from n2 for 4\.0 s: its process is paused or hangs, or the network is gone; not a byte from n3/,
  ],
  [
    "peers that are down",
    { leaderlessMs: 4000, links: [down(n2, "x"), down(n3, "y")] },
    "no leader",
    /of 3 only this one is \(not connected: n2 \(x\); not connected: n3 \(y\)\)/,
  ],
  [
    "peers without their disks",
    { leaderlessMs: 4000, links: [link({ ...n2, incarnation: "b" }), link({ ...n3, incarnation: "c" })] },
    "no leader",
    /n2 and n3 lost their disks: they came back with directories that this cluster does not know \(incarnation b of n2, incarnation c of n3\)/,
  ],
  [
    "a member that is not listed",
    {
      leaderlessMs: 4000,
      links: [link(n3)],
      unlisted: [{ name: "n2", member: n2, empty: false, features: fresh.features, address: "h:2" }],
    },
    "no leader",
    /is known here, although a majority is connected \(n2 is a member and not in the peer list of n1: add n2=h:2\)/,
  ],
  [
    "all connected",
    { leaderlessMs: 1500 },
    "no leader",
    /although a majority of the members is connected: an election is under way, in term 7$/,
  ],
  [
    "one down, a majority up",
    { leaderlessMs: 1500, links: [link(n2), down(n3, "y")] },
    "no leader",
    /an election is under way, in term 7 \(not connected: n3 \(y\)\)$/,
  ],
  ["an election that has only begun", { leaderlessMs: 500 }, "ok", /^ok$/],
  [
    "a disk that hangs, before the leader that is away because of it",
    { leaderlessMs: 4000, pending: { ms: 3200, wanting: null } },
    "disk slow",
    /the disk of n1 has been at work on one write to the log for 3\.2 s/,
  ],
  [
    "a log that waits",
    { leaderlessMs: 4000, pending: { ms: 9000, wanting: "no descriptors" } },
    "log waits",
    /^no descriptors$/,
  ],
  ["data being rebuilt", { state: stateOf({ machine: "rebuild" }) }, "rebuilding", /being rebuilt from a peer/],
  ["no room", { state: stateOf({ spaceLow: true }) }, "disk full", /Free some space\.$/],
  [
    "a failure, whatever else",
    { failed: "the disk is gone", leaderlessMs: 4000 },
    "failed",
    /n1 has failed and is stopping \(the disk is gone\)/,
  ],
  [
    "a directory of an earlier time",
    { refused: { by: "n2", reason: "RolledBack", detail: "why" } },
    "refused",
    /^RolledBack: the directory of n1 is not to be trusted, says n2.* why$/,
  ],
])("%s", (_, change, reason, text) => {
  const health = healthOf(facts(change))
  expect(health.reason).toBe(reason)
  expect(health.text).toMatch(text)
  expect(isLoading(health)).toBe(reason === "starting" || reason === "rebuilding")
})

// What fails of /livez and /readyz, by name; a read is never answered where no driver runs.
test.each<[string, Partial<Facts>, string]>([
  ["nothing wrong", {}, ""],
  ["starting", { state: null, phase: { doing: "opening" } }, "started"],
  ["forming", forming, "started"],
  ["stopping", { stopping: true }, "started"],
  ["failed", { failed: "the disk is gone" }, "livez/loop started"],
  ["rolled back", { refused: { by: "n2", reason: "RolledBack", detail: "why" } }, "member"],
  [
    "an empty directory",
    { state: stateOf({ configurations: [{ index: 0, configuration: { voters: [], outgoing: [], learners: [] } }] }) },
    "member",
  ],
  [
    "a learner",
    {
      state: stateOf({
        configurations: [{ index: 0, configuration: { voters: [n2, n3], outgoing: [], learners: [n1] } }],
      }),
    },
    "member",
  ],
  ["data being rebuilt", { state: stateOf({ machine: "rebuild" }) }, "data"],
  ["a state that waits for room", { short: "no room" }, "data"],
  ["a disk that is slow, and no leader", { leaderlessMs: 3000, pending: { ms: 3200, wanting: null } }, "disk leader"],
  ["a disk that has not answered for long", { pending: { ms: 31_000, wanting: null } }, "livez/disk disk"],
  ["a full disk, for long: no restart helps", { pending: { ms: 31_000, wanting: "the disk is full" } }, "disk"],
  ["what needs somebody, and does not keep it from serving", { clock: 5000, state: stateOf({ spaceLow: true }) }, ""],
])("checks: %s", async (_, change, expected) => {
  const failing = async (what: string, checks: ReturnType<typeof readyz>): Promise<string[]> => {
    const { passed, text } = await runChecks(
      what,
      checks,
      { facts: facts(change), driver: null },
      { verbose: true, exclude: new Set(["read"]) },
    )
    const failed = Array.from(text.matchAll(/^\[-\](\w+) failed: .+$/gm), ([, name = ""]) => name)
    expect(passed).toBe(failed.length === 0)
    return failed
  }
  const live = (await failing("livez", livez)).map((name) => `livez/${name}`)
  expect([...live, ...(await failing("readyz", readyz()))].join(" ")).toBe(expected)
})

test("what lasts is logged once, and so is that it is over", () => {
  vi.useFakeTimers()
  try {
    let health: Health = { reason: "ok", text: "ok" }
    const lines: string[] = []
    const stop = watchHealth(
      () => health,
      (level, text) => lines.push(`${level} ${text}`),
    )
    const pass = (looks: number, now: Health): void => {
      health = now
      vi.advanceTimersByTime(1000 * looks)
    }
    pass(2, { reason: "no leader", text: "no leader for 2 s" })
    pass(9, { reason: "no leader", text: "no leader for 9 s" })
    pass(1, { reason: "ok", text: "ok" })
    pass(1, { reason: "disk slow", text: "only for a look" })
    pass(2, { reason: "ok", text: "ok" })
    pass(3, { reason: "clock", text: "told by the clock" })
    expect(lines).toEqual(["warn no leader for 2 s", "info well again"])
    stop()
    pass(9, { reason: "no leader", text: "stopped" })
    expect(lines.length).toBe(2)
  } finally {
    vi.useRealTimers()
  }
})

test("a line of the log is one line, moves no cursor, and ends, whoever wrote what stands in it", () => {
  const evil = "a\u001b[2J\rb\u009b31m\u202ec\nd"
  for (const json of [false, true]) {
    const lines: string[] = []
    const log = makeLog({ node: "n1", json, least: "info", write: (line) => lines.push(line) })
    log("warn", evil)
    log("warn", "x".repeat(250_000))
    expect(lines[0]).toContain(
      json ? "a\\\\x1b[2J\\\\x0db\\\\x9b31m\\\\u202ec ⏎ d" : "a\\x1b[2J\\x0db\\x9b31m\\u202ec ⏎ d",
    )
    // oxlint-disable-next-line no-control-regex
    for (const line of lines) expect(line).toMatch(/^[^\u0000-\u001f\u007f-\u009f\u202e]*\n$/)
    expect(lines[1]?.length).toBeLessThan(8400)
  }
})
