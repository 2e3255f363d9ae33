/** What the doctor says of nodes that run, and from which this client is kept away. */
import { expect, test } from "vitest"
import type { TlsProblem } from "../kv/client/tlsTrouble.ts"
import { diagnose } from "../kv/doctor/diagnose.ts"
import type { ClusterFacts } from "../kv/doctor/facts.ts"
import { factsOf } from "./doctor.cases.ts"

const kept = (silence: string, tls: TlsProblem | null, of: readonly string[]): ClusterFacts => {
  const facts = factsOf(Object.fromEntries(of.map((id) => [id, silence])))
  return { ...facts, nodes: facts.nodes.map((node) => (of.includes(node.id) ? { ...node, tls } : node)) }
}
const shut: readonly (readonly [string, TlsProblem | null, string, RegExp])[] = [
  [
    "NOAUTH Authentication required.",
    null,
    "it runs, but does not accept this client",
    /--user with STEPRAFT_PASSWORD/,
  ],
  ["WRONGPASS invalid", null, "it runs, but does not accept this client", /--user with STEPRAFT_PASSWORD/],
  ["certificate ended", "ended", "this client refuses its certificate, which has ended", /cert node n3 --replace/],
  ["certificate not begun", "not begun", "which has not begun", /clocks of this machine/],
  ["not for n3", "host", "which is not for the host n3", /cert node n3 --replace --host n3,/],
  ["a client's", "purpose", "no node's", /cert node n3 --replace/],
  ["no authority", "authority", "no authority that this client trusts", /another authority.*both\.crt/],
  ["no TLS", "speaks none", "that speaks no TLS, and this client does", /start n3 again with --tls-cert/],
  ["TLS", "speaks it", "speaks TLS, and this client does not", /--tls-ca/],
  ['not a RESP reply: it starts with "H"', null, "answers HTTP", /status -o json/],
]

test.each(shut)("a node that runs, and from which this client is kept away: %s", (silence, tls, cause, next) => {
  const [found, ...more] = diagnose(kept(silence, tls, ["n3"]))
  expect(more).toEqual([])
  expect(found).toMatchObject({
    name: "node-unreachable",
    cause: expect.stringContaining(cause) as unknown,
    next: expect.stringMatching(next) as unknown,
  })
  expect(found?.next).not.toContain("member replace")
})
test("where no node lets this client in, what it was given is wrong", () => {
  const next = (tls: TlsProblem): readonly string[] =>
    diagnose(kept("", tls, ["n1", "n2", "n3"])).map((one) => one.next)
  for (const text of next("authority")) expect(text).toMatch(/^Give the cluster's authority, ca\.crt \(--tls-ca\)/)
  for (const text of next("speaks none")) expect(text).toMatch(/^Leave --tls-ca out/)
  expect(next("authority")).toHaveLength(3)
})
