/** The doctor's judgement, by table: facts of a cluster, and what is found in them. The same on real clusters: process.doctor.long.test.ts. */
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { wellText } from "../kv/cli/diagnosis/doctor.ts"
import { diagnose } from "../kv/doctor/diagnose.ts"
import type { NodeFacts } from "../kv/doctor/facts.ts"
import { FINDINGS, guideOf, type FindingName } from "../kv/doctor/findings.ts"
import { access } from "./doctor.access.ts"
import {
  factsOf,
  follower,
  followers,
  leaderless,
  led,
  links,
  member,
  type Row,
  silent,
  starting,
} from "./doctor.cases.ts"

const unwritten: NodeFacts["probes"] = [
  { kind: "read", ms: 3, error: null, text: "" },
  { kind: "write", ms: 2, error: "NOPERM", text: "me has the role read, and STEPRAFT SESSION needs write" },
]
const table: readonly Row[] = [
  ["nothing wrong", {}, [], /^$/],
  [
    "two of three are gone",
    { n1: { both: leaderless("n1"), probes: silent }, n2: null, n3: null },
    ["no-leader", "client-timeouts", "node-unreachable", "node-unreachable"],
    /no majority: of 3 voters 1 can vote, n2 and n3 do not answer.*Start n2 and n3 again/,
  ],
  [
    "two of three are gone, and what an earlier doctor asked was refused meanwhile",
    {
      n1: { both: leaderless("n1"), last: { status: { counters: { "service.noLeader": 1 } } }, probes: silent },
      n2: null,
      n3: null,
    },
    ["no-leader", "client-timeouts", "node-unreachable", "node-unreachable"],
    /^(?!.*NOLEADER).*no majority: of 3 voters 1 can vote/,
  ],
  [
    "after a power cut two read their logs",
    { n1: { both: leaderless("n1"), probes: silent }, n2: { both: starting }, n3: { both: starting } },
    ["no-leader", "client-timeouts", "node-unwell", "node-unwell"],
    /^(?!.*(?:lost|recover)).*n2 and n3 are still starting.*Wait until they have read their logs/,
  ],
  [
    "the only one that answers reads its log",
    { n1: { both: starting, probes: silent }, n2: null, n3: null },
    ["no-leader", "client-timeouts", "node-unreachable", "node-unreachable", "node-unwell"],
    /^(?!.*Start all nodes).*n1 is still starting: n1: starting: reading the log.*Wait until it has read its log.*n2 and n3 do not answer: start them, if they are down/,
  ],
  [
    "one is gone",
    { n3: null },
    ["node-unreachable"],
    /warning.*of 3 voters 2 answer.*nothing listens there.*member replace n3/,
  ],
  [
    "one is paused",
    {
      n1: { last: led({ links: links({ n3: { silentMs: 4000 } }) }) },
      n2: { last: led({ links: links({ n3: { silentMs: 4100 } }, ["n1", "n3"]) }) },
      n3: null,
    },
    ["node-unreachable"],
    /not a byte from it for.*paused or hangs/,
  ],
  [
    "nobody elects anybody over slow links",
    {
      n1: { both: leaderless("n1", { links: links({ n2: { transitMs: 900 } }) }) },
      n2: { both: leaderless("n2") },
      n3: { both: leaderless("n3") },
    },
    ["no-leader", "slow-link"],
    /longer than an election timeout \(500 ms\): n1 and back from n2 900 ms.*--election-min/,
  ],
  [
    "nodes that answer and do not reach each other",
    {
      n1: { both: leaderless("n1", { links: links({ n2: { connected: false, problem: "ECONNREFUSED" } }) }) },
      n2: { both: leaderless("n2") },
      n3: { both: leaderless("n3") },
    },
    ["no-leader", "broken-link"],
    /do not reach each other: n1 to n2: ECONNREFUSED/,
  ],
  [
    "the followers' disks stall, the leader's does not",
    {
      n1: { both: { status: { lastIndex: 105 } }, last: led({ followers: followers({}) }), probes: silent },
      n2: {
        both: { details: { reason: "disk slow", pending: { ms: 4000, lacks: null } }, status: { health: "slow" } },
      },
      n3: {
        both: { details: { pending: { ms: 4000, lacks: null }, reason: "disk slow" }, status: { health: "slow" } },
      },
    },
    ["commit-stalled", "client-timeouts", "slow-disk", "slow-disk"],
    /commit index has been 100 for 2\.0 s.*the disk of n2 \(has 100\) has been at work on one write for 4\.0 s.*follows from commit-stalled/,
  ],
  [
    "a commit that moves",
    {
      n1: {
        first: { status: { lastIndex: 101, commitIndex: 90 } },
        last: { status: { lastIndex: 120, commitIndex: 100 } },
      },
    },
    [],
    /^$/,
  ],
  [
    "a snapshot that cannot be stored",
    {
      n1: {
        first: led({ followers: followers({ n3: { mode: "snapshot", matchIndex: 0, snapshotSent: 5000 } }) }),
        last: led({ followers: followers({ n3: { mode: "snapshot", matchIndex: 0, snapshotSent: 9000 } }) }),
      },
      n3: {
        last: { status: { applied: 0, commitIndex: 0, counters: { "snapshot.failed": 3 } } },
        first: { status: { applied: 0, commitIndex: 0 } },
      },
    },
    ["snapshot-install-failing", "follower-lagging"],
    /n3 could not store or install it \(3 failed in 2\.0 s\)/,
  ],
  [
    "a snapshot over a slow link",
    {
      n1: {
        both: led({
          followers: followers({ n3: { mode: "snapshot", matchIndex: 0, snapshotSent: 5000 } }),
          links: links({ n3: { transitMs: 3500, behindBytes: 1_100_000 } }),
        }),
      },
    },
    ["snapshot-install-failing", "slow-link", "follower-lagging"],
    /the link from n1 is slow: 3\.5 s there and back, 1\.1 MB on their way.*Mend the link between n1 and n3/,
  ],
  [
    "a snapshot for which there is no room",
    {
      n1: {
        both: led({
          followers: followers({ n3: { mode: "snapshot", condition: "full", matchIndex: 0, snapshotSent: 5000 } }),
        }),
      },
      n3: { both: { details: { spaceLow: true, reason: "disk full" }, status: { health: "full" } } },
    },
    ["out-of-space", "snapshot-install-failing"],
    /n3 has no space for it.*Free some space on the disk of n3/,
  ],
  [
    "a snapshot that arrives",
    {
      n1: {
        first: led({ followers: followers({ n3: { mode: "snapshot", snapshotSent: 5000 } }) }),
        last: led({ followers: followers({ n3: { mode: "snapshot", snapshotSent: 900_000 } }) }),
      },
    },
    [],
    /^$/,
  ],
  [
    "writes that take long on disks that are slow",
    {
      n1: {
        last: { status: { counters: { "storage.syncs": 60, "storage.syncMs": 4100 } } },
        probes: [{ kind: "write", ms: 1400, error: null, text: "" }],
      },
    },
    ["client-timeouts", "slow-disk"],
    /a write at n1 took 1\.4 s.*slow-disk.*a write to the log of n1 took 400 ms \(mean of 10\)/,
  ],
  [
    "a process that gets no processor",
    { n1: { last: { status: { counters: { "loop.stallMs": 1700 } } }, probes: silent } },
    ["client-timeouts"],
    /n1 gets no processor/,
  ],
  [
    "clients' writes of unknown outcome",
    { n2: { last: { status: { counters: { "service.unknown": 7 } } } } },
    ["client-timeouts"],
    /n2 answered 7 writes UNKNOWN and 0 NOLEADER/,
  ],
  [
    "a slow link",
    { n1: { both: led({ links: links({ n3: { transitMs: 400, behindBytes: 3_000_000 } }) }) } },
    ["slow-link"],
    /n1 to n3: 400 ms there and back, 3\.0 MB on their way/,
  ],
  [
    "a way that is closed in one direction",
    { n1: { both: led({ links: links({ n3: { silentMs: 4000 } }) }) } },
    ["broken-link"],
    /n1 to n3: not a byte for 4\.0 s/,
  ],
  [
    "a follower that has not got what was committed two seconds ago",
    { n1: { first: { status: { commitIndex: 90 } }, last: led({ followers: followers({ n2: { matchIndex: 60 } }) }) } },
    ["follower-lagging"],
    /n2 has acknowledged 60.*committed 90 2\.0 s ago/,
  ],
  [
    "a state that is behind its log",
    { n2: { last: { status: { applied: 40 } } } },
    ["execution-behind"],
    /n2 has executed 40/,
  ],
  [
    "a wrong clock",
    { n3: { both: { details: { clockMs: -86_400_000, reason: "clock" }, status: { health: "the clock" } } } },
    ["clock-off"],
    /the clock of n3 is 86400\.0 s behind/,
  ],
  [
    "an empty directory under an old name",
    {
      n1: { both: led({ links: links({ n3: { incarnation: "x", stranger: true } }) }) },
      n3: {
        both: {
          status: { role: "amnesiac", incarnation: "x", health: "lost" },
          details: { reason: "amnesiac", standing: null, members: { voters: [], outgoing: [], learners: [] } },
        },
        probes: [],
      },
    },
    ["disk-lost"],
    /n3 runs with an empty directory, incarnation x.*stepraft member replace n3/,
  ],
  [
    "an empty directory under a new name",
    {
      n4: {
        both: { status: { role: "amnesiac", health: "lost" }, details: { reason: "amnesiac", standing: null } },
        probes: [],
      },
    },
    ["members-disagree"],
    /n4 runs with an empty directory .* is no member.*stepraft member add n4/,
  ],
  [
    "a directory that went back",
    {
      n1: { both: led({ links: links({ n3: { refused: "RolledBack: the directory" } }) }) },
      n3: {
        both: {
          status: { role: "amnesiac", health: "RolledBack: put back, says n1. More." },
          details: { reason: "refused", refused: "RolledBack" },
        },
        probes: [],
      },
    },
    ["directory-rolled-back"],
    /RolledBack: RolledBack: put back, says n1.*member replace n3/,
  ],
  [
    "two processes of one name",
    {
      n1: {
        both: {
          details: {
            links: links({ n3: { refused: "StartedTwice: n1 is connected with another process of n3. More." } }),
            reason: "peer refused",
          },
          status: { health: "refused" },
        },
      },
    },
    ["node-doubled"],
    /n3 answers, and n1 refuses another process of that name: StartedTwice.*Stop the one that should not run/,
  ],
  [
    "no room",
    { n2: { both: { details: { spaceLow: true, reason: "disk full" }, status: { health: "full" } } } },
    ["out-of-space"],
    /the disk of n2 is nearly full: the other nodes continue/,
  ],
  [
    "no room at the leader",
    { n1: { both: { details: { spaceLow: true, reason: "disk full" }, status: { health: "full" } } } },
    ["out-of-space"],
    /writes are refused \(SPACELOW\)/,
  ],
  [
    "a log without a descriptor",
    {
      n2: {
        both: {
          details: { pending: { ms: 9000, lacks: "descriptors" }, reason: "log waits" },
          status: { health: "waits" },
        },
      },
    },
    ["out-of-descriptors"],
    /the next file of the log of n2 cannot be made/,
  ],
  [
    "clients turned away",
    { n2: { last: { info: { rejected_connections: "12" } } } },
    ["out-of-descriptors"],
    /n2 has 3 clients of at most 10000, and has just refused 12/,
  ],
  ["whoever asks may not write", { n1: { probes: unwritten }, n2: { probes: unwritten } }, [], /^$/],
  [
    "two versions",
    { n3: { both: { status: { version: "1.1.0" } } } },
    ["mixed-versions"],
    /n1 1\.0\.0, n2 1\.0\.0, n3 1\.1\.0/,
  ],
  [
    "another cluster in the list",
    { n3: { both: { status: { cluster: "d" } } } },
    ["members-disagree"],
    /n1: cluster c, n2: cluster c, n3: cluster d/,
  ],
  [
    "a member that is not in a list",
    { n2: { both: led({ links: links({}, ["n1"]) }) } },
    ["members-disagree"],
    /n3 is a member whose address n2 does not know/,
  ],
  [
    "one that was removed and runs",
    { n4: { both: { status: { health: "removed" }, details: { reason: "removed", standing: null } }, probes: [] } },
    ["members-disagree"],
    /n4 is no member any more/,
  ],
  [
    "a node that rebuilds its data",
    {
      n3: {
        both: {
          status: { health: "the data of n3 are being rebuilt from a peer", loading: true },
          details: { reason: "rebuilding" },
        },
        probes: [{ kind: "read", ms: 2, error: "LOADING", text: "" }],
      },
    },
    ["node-unwell"],
    /being rebuilt.*Wait/,
  ],
  [
    "an older version, without details",
    { n3: { both: { status: { version: "0.9.0", details: null } } } },
    ["mixed-versions"],
    /n3 0\.9\.0/,
  ],
  ...access,
]

test.each(table)("%s", (_, nodes, found, text) => {
  const findings = diagnose(factsOf(nodes))
  expect(findings.map(({ name }) => name).toSorted()).toEqual([...found].toSorted())
  expect(
    findings.map(({ severity, evidence, cause, next }) => `${severity} ${evidence} ${cause} ${next}`).join("\n"),
  ).toMatch(new RegExp(text.source, "s"))
  // The gravest first, in an order that does not change.
  const order = Object.keys(FINDINGS)
  const ranks = findings.map(({ name, severity }) => order.indexOf(name) + (severity === "critical" ? 0 : 100))
  expect(ranks).toEqual(ranks.toSorted((a, b) => a - b))
})

test("every finding stands in the table above, and its page in the guide", () => {
  const all = Object.keys(FINDINGS) as FindingName[]
  const shown = new Set(table.flatMap(([, , found]) => found))
  expect(all.filter((name) => !shown.has(name))).toEqual([])
  const guide = readFileSync(new URL("../kv/README.md", import.meta.url), "utf8")
  const anchors = new Set(
    [...guide.matchAll(/^#+ (.*)$/gmu)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^a-z0-9 -]/gu, "")
        .replaceAll(" ", "-"),
    ),
  )
  for (const name of all) {
    const [page = "", anchor = ""] = guideOf(name).split("#")
    expect(page).toBe("kv/README.md")
    expect(anchors).toContain(anchor)
    expect(guide).toContain(`\`${name}\``)
  }
})

test("well is told of the nodes that answer, and of what was not tried", () => {
  const facts = factsOf({ n1: { probes: unwritten } })
  const { nodes } = factsOf({ n4: null })
  expect(wellText({ ...facts, nodes: [...facts.nodes, ...nodes.filter(({ last }) => last === null)] })).toMatch(
    /^all is well: 3 nodes, n1 leads in term 3, .*; no write was tried: me has the role read/,
  )
})
test("an address that was given and does not answer is never well", () => {
  const facts = factsOf({})
  const stranger: NodeFacts = {
    id: "other:1",
    client: "other:1",
    first: null,
    last: null,
    silence: "other:1: connect ECONNREFUSED",
    probes: [],
  }
  expect(diagnose({ ...facts, nodes: [...facts.nodes, stranger] }).map(({ name }) => name)).toEqual([])
  expect(
    diagnose({ ...facts, nodes: [...facts.nodes, { ...stranger, given: true }] }).map(({ name, nodes }) => [
      name,
      ...nodes,
    ]),
  ).toEqual([["node-unreachable", "other:1"]])
})
test("of five voters it is told how many must be seen to, and a leader's own disk is named", () => {
  const five = ["n1", "n2", "n3", "n4", "n5"]
  const voters = five.map(member)
  const stalled = { lastIndex: 100, commitIndex: 90 }
  const facts = factsOf(
    Object.fromEntries(
      five.map((id) => [
        id,
        {
          both: {
            status: stalled,
            details: {
              members: { voters, outgoing: [], learners: [] },
              followers: id === "n1" ? five.slice(1).map((other) => ({ ...follower(other), matchIndex: 90 })) : [],
            },
          },
        },
      ]),
    ),
  )
  expect(diagnose(facts).find(({ name }) => name === "commit-stalled")?.next).toMatch(
    /^Look after n2, n3, n4 and n5: 2 of them are enough/,
  )
  const alone = factsOf({
    n1: {
      both: {
        status: stalled,
        details: {
          members: { voters: [member("n1")], outgoing: [], learners: [] },
          followers: [],
          pending: { ms: 5000, lacks: null },
        },
      },
    },
  })
  expect(diagnose(alone).find(({ name }) => name === "commit-stalled")).toMatchObject({
    cause: expect.stringContaining("the disk of n1, which leads, has been at work") as unknown,
    next: expect.stringMatching(/^Look after n1\. /) as unknown,
  })
})
