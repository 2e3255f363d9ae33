/** Members that do not answer: their process, the way to them, or what stands between a node that runs and this client. */
import { LOST_MEMBER_ADVICE } from "../../interpreters/advice.ts"
import type { TlsProblem } from "../client/tlsTrouble.ts"
import type { ClusterView, NodeFacts } from "./facts.ts"
import { finding, type Finding } from "./findings.ts"
import { listText, one, span } from "./words.ts"

interface Told {
  readonly cause: string
  readonly next: string
}
/** By the name of a node that is known only by its address nobody could make a certificate. */
const nameOf = ({ id, client }: NodeFacts): string => (id === client ? "NAME" : id)
const hostOf = ({ client, id }: NodeFacts): string => (client ?? id).replace(/:\d+$/u, "").replaceAll(/[[\]]/gu, "")
const replaced = (node: NodeFacts): string =>
  `stepraft cert node ${nameOf(node)} --replace, on the machine that keeps the authority's key, then copy both files over those of ${node.id}`
const REFUSES = "it runs, and this client refuses its certificate"

const TLS: Readonly<Record<TlsProblem, (node: NodeFacts, view: ClusterView) => Told>> = {
  ended: (node) => ({
    cause: `${REFUSES}, which has ended: the other nodes and all clients refuse it, too, when they connect anew`,
    next: `${replaced(node)}: it is taken up within 5 s, without a restart. If it has not ended yet, the clock of this machine is wrong.`,
  }),
  "not begun": (node) => ({
    cause: `${REFUSES}, which has not begun`,
    next: `Compare the clocks of this machine and of the one that made it. If both are right, wait, or make another: ${replaced(node)}.`,
  }),
  host: (node) => ({
    cause: `${REFUSES}, which is not for the host ${hostOf(node)}`,
    next: `Dial it at a host that stands in its certificate, or make one with all hosts that clients dial: stepraft cert node ${nameOf(node)} --replace --host ${hostOf(node)},… on the machine that keeps the authority's key, then copy both files over those of ${node.id}.`,
  }),
  purpose: (node) => ({ cause: `${REFUSES}, which is no node's`, next: `${replaced(node)}.` }),
  authority: (node, { up }) => ({
    cause: `${REFUSES}: no authority that this client trusts has signed it`,
    next:
      up.length === 0
        ? "Give the cluster's authority, ca.crt (--tls-ca)."
        : `The others show one that this client trusts, so ${node.id} has one of another authority: ${replaced(node)}. While the authority is being replaced, give both (--tls-ca both.crt).`,
  }),
  "speaks none": (node, { up }) => ({
    cause: "something listens there that speaks no TLS, and this client does",
    next:
      up.length === 0
        ? "Leave --tls-ca out (and STEPRAFT_TLS, STEPRAFT_TLS_CA, rediss://), or give the nodes certificates."
        : `The others speak TLS: start ${node.id} again with --tls-cert, --tls-key and --tls-ca, and without --plaintext clients. Until then whatever clients send it can be read on the way.`,
  }),
  "speaks it": () => ({
    cause: "it runs and speaks TLS, and this client does not",
    next: "Give the cluster's authority, ca.crt (--tls-ca), and who you are: --user with STEPRAFT_PASSWORD, or --tls-cert and --tls-key.",
  }),
}

/** The node was reached: the problem is between it and the client that asks. null: it is another one. */
const between = (node: NodeFacts, view: ClusterView): Told | null => {
  if (node.tls != null) return TLS[node.tls](node, view)
  const silence = node.silence ?? ""
  if (/\b(?:NOAUTH|WRONGPASS|NOPERM)\b/u.test(silence))
    return {
      cause: "it runs, but does not accept this client",
      next: "Fix what it says, and ask again: --user with STEPRAFT_PASSWORD, or --tls-cert and --tls-key, give this client's identity.",
    }
  if (silence.includes('starts with "H"'))
    return {
      cause: "it is not the port for clients: what listens there answers HTTP",
      next: "Give the port for clients (--port, --endpoints); stepraft status -o json at any node names both, client and http.",
    }
  return null
}

export const unreachable = (view: ClusterView): readonly Finding[] => {
  const { silent, voters, up } = view
  const away = silent.map(({ id }) => id).filter((id) => voters.includes(id))
  return silent.map((node) => {
    const links = up.flatMap(({ id, details }) =>
      (details?.links ?? []).filter((link) => link.id === node.id).map((link) => ({ from: id, ...link })),
    )
    const heard = links
      .filter(({ connected, silentMs }) => connected && (silentMs ?? Number.POSITIVE_INFINITY) < 2500)
      .map(({ from }) => from)
    const hangs = links.filter(({ connected }) => connected)
    const silence = node.silence ?? ""
    const told = between(node, view)
    const cause =
      heard.length > 0
        ? `${listText(heard)} ${one(heard, "hears", "hear")} from it, so its process lives: its client port cannot be reached from this machine, or it has too many clients`
        : hangs.length > 0
          ? `not a byte from it for ${span(Math.min(...hangs.map(({ silentMs }) => silentMs ?? 0)))}, and no connection was closed: its process is paused or hangs, or its machine or network is gone`
          : silence.includes("ECONNREFUSED")
            ? `nothing listens there${up.length === 0 ? "" : ", and no other node reaches it"}: its process has ended, or never ran`
            : `${up.length === 0 ? "nothing is heard from there" : "no other node hears from it"}: its process is paused or hangs, or its machine or network is gone`
    const lost = LOST_MEMBER_ADVICE.replaceAll("NAME", node.id)
    const next =
      heard.length > 0
        ? `Try to connect from another machine, and check whether ${node.id} has too many clients.`
        : up.length === 0
          ? "Give the client port of a node that runs (--port, --host, --endpoints), or start the cluster."
          : `Check whether its process and machine run, and start ${node.id} again; the last lines of its log say why it stopped. If its disk is lost: ${lost}`
    const left = voters.length - away.length
    const count = voters.length === 0 ? "" : `; of ${voters.length} voters ${left} ${left === 1 ? "answers" : "answer"}`
    const found = finding(
      "node-unreachable",
      [node.id],
      `${node.id}${node.client === null || node.client === node.id ? "" : ` at ${node.client}`}: ${node.silence ?? "no answer"}${count}`,
      told?.cause ?? cause,
      told?.next ?? next,
    )
    return left > voters.length / 2 ? { ...found, severity: "warning" } : found
  })
}
