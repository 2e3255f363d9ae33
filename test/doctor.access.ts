/** Part of the table of doctor.findings.test.ts: users, certificates and their files, and who is no member yet. */
import { links, member, type Row, silent, waiting } from "./doctor.cases.ts"

const badUsers = { kind: "users", reason: "users: line 3: boss is listed twice", ms: 2_400_000 } as const
const alone = { voters: [member("n1")], outgoing: [], learners: [] }
const DOUBLE = "DuplicateName: n2 is connected with another n1, of another incarnation, at 127.0.0.1:1: stop one."
export const access: readonly Row[] = [
  [
    "a node without users among others with them",
    { n3: { both: { status: { access: { tls: true, certificates: "yes", users: null } } } } },
    ["access-differs"],
    /critical n3 has no users; n1 3 users \(aa\), n2 3 users \(aa\).*whoever comes in there is an administrator of the whole cluster.*--users of the others/,
  ],
  [
    "other users on one node",
    {
      n3: { both: { status: { access: { tls: true, certificates: "optional", users: { count: 2, digest: "bb" } } } } },
    },
    ["access-differs"],
    /warning not the same users are in force: n1 3 users \(aa\), n2 3 users \(aa\), n3 2 users \(bb\)/,
  ],
  [
    "a node whose clients go without TLS",
    { n3: { both: { status: { access: { tls: false, certificates: "no", users: { count: 3, digest: "aa" } } } } } },
    ["access-differs"],
    /warning the port for clients of n3 speaks no TLS; that of n1 and n2 does/,
  ],
  [
    "nobody checks anybody, and an older version that does not tell",
    {
      n1: { both: { status: { access: { tls: false, certificates: "no", users: null } } } },
      n2: { both: { status: { access: { tls: false, certificates: "no", users: null } } } },
      n3: { both: { status: { access: null } } },
    },
    [],
    /^$/,
  ],
  [
    "users that two of three could not be started with again",
    {
      n1: { both: { details: { reason: "files", unusableFiles: [badUsers] }, status: { health: "files" } } },
      n2: { both: { details: { reason: "files", unusableFiles: [badUsers] }, status: { health: "files" } } },
    },
    ["files-unusable"],
    /critical n1, for 40 minutes: users: line 3: boss is listed twice; n2, for.*would not start again/,
  ],
  [
    "a foreign certificate for the next start",
    { n3: { both: { details: { reason: "files", unusableFiles: [{ ...badUsers, kind: "tls", ms: 5000 }] } } } },
    ["files-unusable"],
    /warning n3, for 5 s: .*Mend the file before n3 is restarted/,
  ],
  [
    "a certificate that ends within two weeks, and one that has ended while the node is connected",
    {
      n2: {
        both: {
          details: { certificate: { ends: "B", leftMs: 13 * 86_400_000, renewal: "soon" }, reason: "certificate" },
        },
      },
      n3: {
        both: { details: { certificate: { ends: "C", leftMs: -90_000, renewal: "urgent" }, reason: "certificate" } },
      },
    },
    ["certificate-ends"],
    /critical the certificate of n2 ends in 13 days, at B; the certificate of n3 ended 90 s ago, at C.*stepraft cert node n2 --replace, stepraft cert node n3 --replace/,
  ],
  [
    "a certificate that ends within two weeks",
    {
      n2: {
        both: {
          details: { certificate: { ends: "B", leftMs: 1.6 * 86_400_000, renewal: "soon" }, reason: "certificate" },
        },
      },
    },
    ["certificate-ends"],
    /warning the certificate of n2 ends in 38 hours/,
  ],
  [
    "nodes that wait while one has founded a cluster alone: what does not serve yet is not slow",
    {
      n1: { both: { details: { members: alone, links: [], followers: [] } } },
      n2: { both: waiting, probes: silent },
      n3: { both: waiting, probes: silent },
    },
    ["members-disagree", "members-disagree"],
    /^(?!.*slowly).*n2 runs with an empty directory.*stepraft member add n2/,
  ],
  [
    "a second process of a name, refused by those who know the first",
    {
      n2: { both: { details: { links: links({ n1: { refused: DOUBLE } }, ["n1", "n3"]), reason: "peer refused" } } },
      n3: { both: { details: { links: links({ n1: { refused: DOUBLE } }, ["n1", "n2"]), reason: "peer refused" } } },
    },
    ["node-doubled"],
    /n1 answers, and n2 and n3 refuse another process of that name: DuplicateName: .*two processes call themselves n1/,
  ],
  [
    "asked at the second process, which knows nobody",
    {
      n1: {
        both: {
          ...waiting,
          details: {
            ...waiting.details,
            reason: "forming",
            links: links({
              n2: { connected: false, problem: `DuplicateName: 127.0.0.1:2 refused this node: ${DOUBLE}` },
              n3: { connected: false, problem: "ECONNRESET" },
            }),
          },
        },
        probes: silent,
      },
      n2: null,
      n3: null,
    },
    ["node-doubled"],
    /n2 refuses the process that was asked: .*is connected with another n1.*Stop it, if the other one is to stay/,
  ],
]
