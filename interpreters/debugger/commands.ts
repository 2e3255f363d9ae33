/** The commands with which a person drives a session: the same in a terminal, in a pipe and in a script. */
import type { Timer } from "../../core/index.ts"
import { rules } from "../../core/index.ts"
import { flights, TIMERS, type Action } from "../simulation/index.ts"
import type { DebugSession } from "./session.ts"
import { decodeAction, KEEPS } from "./trace.ts"
import { clusterText, frameText, invariantsText, messagesText, nodeText, whereText } from "./view.ts"
import { MESSAGES, number, predicateOf, PREDICATES } from "./predicates.ts"

export interface CommandAnswer {
  readonly text: string
  readonly quit: boolean
  /** Not understood, or not possible: the session is unchanged. */
  readonly failed: boolean
  /** The path of the file to which the scenario is to be written; null: nothing is to be saved. */
  readonly save: string | null
  /** The text shows the frame at the cursor; this is added to it. null: the text shows something else. */
  readonly frame: string | null
}
const say = (text: string): CommandAnswer => ({ text, quit: false, failed: false, save: null, frame: null })
const wrong = (text: string): CommandAnswer => ({ ...say(text), failed: true })
const here = (session: DebugSession, said = ""): CommandAnswer => ({
  ...say(`${said === "" ? "" : `${said}\n`}${frameText(session)}`),
  frame: said,
})

interface Command {
  readonly names: readonly string[]
  readonly usage: string
  readonly help: string
  readonly run: (session: DebugSession, words: readonly string[], line: string) => CommandAnswer
}

/** Distinguishes commands made by hand from those of the script. */
const BY_HAND = 1_000_000

/** The most frames that one command may make: each frame is kept in memory. */
const MOST_FRAMES = 1_000_000

/** A number of frames, or of a frame; NaN: not understood, or too large. */
const frames = (word: string | undefined, fallback: number): number => {
  const value = number(word, fallback)
  return value <= MOST_FRAMES ? value : Number.NaN
}

// ------------------------------------------------------------------------------------------------ actions

const known = (session: DebugSession, name: string | undefined): boolean =>
  name !== undefined && session.frame().world.nodes[name] !== undefined
const isTimer = (word: string | undefined): word is Timer => TIMERS.some((timer) => timer === word)

const doing = (session: DebugSession, action: Action): CommandAnswer => {
  if (session.frame().violation !== null) return wrong("an invariant is violated here: go back first, then act")
  const branch = session.branch()
  session.act(action)
  return here(session, session.branch() === branch ? "" : `a new branch, ${session.branch()}`)
}
/** An action on one node, which must exist. */
const onNode = (
  names: readonly string[],
  help: string,
  make: (node: string, words: readonly string[], session: DebugSession) => Action | null,
  more = "",
): Command => ({
  names,
  usage: `${names[0]} NODE${more}`,
  help,
  run: (session, [node, ...rest]) => {
    if (!known(session, node) || node === undefined)
      return wrong(`${names[0]} which node? There are ${session.frame().world.names.join(", ")}`)
    let action: Action | null
    try {
      action = make(node, rest, session)
    } catch (error) {
      return wrong(error instanceof Error ? error.message : String(error))
    }
    return action === null ? wrong(`usage: ${names[0]} NODE${more}`) : doing(session, action)
  },
})
const onMessage = (names: readonly string[], type: "deliver" | "drop" | "duplicate", help: string): Command => ({
  names,
  usage: `${names[0]} MESSAGE`,
  help,
  run: (session, [message]) => {
    if (
      message === undefined ||
      !messagesText(session.frame().world, session.words)
        .split("\n")
        .some((row) => row.startsWith(`${message} `))
    )
      return wrong(`no such message; in flight:\n${messagesText(session.frame().world, session.words)}`)
    return doing(session, { type, message })
  },
})

const actions: readonly Command[] = [
  onMessage(["deliver", "d"], "deliver", "deliver a message now"),
  onMessage(["drop", "x"], "drop", "lose a message"),
  onMessage(["duplicate", "dup"], "duplicate", "let a message arrive twice"),
  onNode(
    ["crash", "k"],
    "crash a node; of its outstanding writes keep random (default), all, none, torn, corrupt",
    (node, [keep]) => {
      const kept = KEEPS.find((each) => each === (keep ?? "random"))
      return kept === undefined ? null : { type: "crash", node, keep: kept }
    },
    " [KEEP]",
  ),
  onNode(["start"], "start a node that is down", (node) => ({ type: "start", node })),
  onNode(
    ["fire", "t"],
    `let a timer expire now (${TIMERS.join(", ")}; default election)`,
    (node, [timer = "election"]) => (isTimer(timer) ? { type: "fire", node, timer } : null),
    " [TIMER]",
  ),
  onNode(["persist"], "complete a node's oldest outstanding write now", (node) => ({ type: "persist", node })),
  onNode(["pause"], "pause a node's process", (node) => ({ type: "pause", node })),
  onNode(["resume"], "and goes on", (node) => ({ type: "resume", node })),
  onNode(["isolate"], "cut a node off from all others", (node) => ({ type: "isolate", node })),
  onNode(["reconnect"], "and connect it again", (node) => ({ type: "reconnect", node })),
  onNode(
    ["propose", "p"],
    "a client proposes a command to this node; with a machine of your own: the command as JSON",
    (node, words, session) => {
      const next = BY_HAND + session.frame().world.refs
      if (session.words !== null && words.length > 0) {
        const bytes = session.words.parse(words.join(" "), next)
        return {
          type: "propose",
          node,
          id: next,
          payloads: [{ hex: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""), checksum: next }],
        }
      }
      const id = number(words[0], next)
      return Number.isNaN(id) ? null : { type: "propose", node, id }
    },
    " [ID|JSON]",
  ),
  onNode(["read"], "a client reads at this node", (node) => ({ type: "read", node })),
  onNode(
    ["learners"],
    "ask a leader to add servers as learners",
    (node, names, session) =>
      names.length > 0 && names.every((name) => known(session, name)) ? { type: "addLearners", node, names } : null,
    " NAME…",
  ),
  onNode(
    ["change"],
    "ask a leader to make these the voters, and those after a bar the learners",
    (node, words, session) => {
      const bar = words.includes("|") ? words.indexOf("|") : words.length
      const [voters, learners] = [words.slice(0, bar), words.slice(bar + 1)]
      return voters.length > 0 && [...voters, ...learners].every((name) => known(session, name))
        ? { type: "change", node, voters, learners }
        : null
    },
    " VOTER… [| LEARNER…]",
  ),
  {
    names: ["cut"],
    usage: "cut FROM TO",
    help: "cut the direction from one node to the other; the other direction stays open",
    run: (session, [from, to]) =>
      from !== undefined && to !== undefined && known(session, from) && known(session, to)
        ? doing(session, { type: "cut", from, to })
        : wrong("usage: cut FROM TO"),
  },
  {
    names: ["partition"],
    usage: "partition NODE…",
    help: "put these nodes on one side of a partition, the rest on the other",
    run: (session, side) =>
      side.length > 0 && side.every((name) => known(session, name))
        ? doing(session, { type: "partition", side })
        : wrong("usage: partition NODE…"),
  },
  { names: ["heal"], usage: "heal", help: "heal all links", run: (session) => doing(session, { type: "heal" }) },
  {
    names: ["do"],
    usage: "do JSON",
    help: 'any other action, as in a saved scenario: do {"type":"stallDisk","node":"n1"}',
    run: (session, _, line) => {
      try {
        return doing(session, decodeAction(line.replace(/^\s*do\s*/, "")))
      } catch (error) {
        return wrong(error instanceof Error ? error.message : String(error))
      }
    },
  },
]

// ----------------------------------------------------------------------------------------------- commands

const seek =
  (direction: "on" | "back") =>
  (session: DebugSession, words: readonly string[]): CommandAnswer => {
    const wanted = predicateOf(words, session.names())
    if (typeof wanted === "string") return wrong(wanted)
    if (session.seek(wanted, direction)) return here(session)
    return wrong(`found nothing ${direction === "on" ? "ahead" : "before"}; still at ${whereText(session)}`)
  }
const nodeSeek =
  (direction: "on" | "back") =>
  (session: DebugSession, [node]: readonly string[]): CommandAnswer =>
    node === undefined
      ? wrong(`of which node? ${session.names().join(", ")}`)
      : seek(direction)(session, ["node", node])

const moves: readonly Command[] = [
  {
    names: ["step", "s", "→"],
    usage: "step [N]",
    help: "advance by one event, or N",
    run: (session, [count]) => {
      const wanted = frames(count, 1)
      if (Number.isNaN(wanted)) return wrong(`usage: step [N], at most ${MOST_FRAMES}`)
      let done = 0
      while (done < wanted && session.step()) done += 1
      return here(
        session,
        done === wanted
          ? ""
          : session.frame().violation === null
            ? "nothing is planned any more"
            : "it ends here: an invariant is violated",
      )
    },
  },
  {
    names: ["back", "b", "←"],
    usage: "back [N]",
    help: "go back by one event, or N",
    run: (session, [count]) => {
      const wanted = frames(count, 1)
      if (Number.isNaN(wanted)) return wrong("usage: back [N]")
      for (let i = 0; i < wanted && session.back(); i++);
      return here(session)
    },
  },
  {
    names: ["goto", "g"],
    usage: "goto N|start|end",
    help: "jump to a frame; end: where the script ends, or the last frame made",
    run: (session, [where = "start"]) => {
      const to = where === "start" ? 0 : frames(where, 0)
      if (where === "end") session.finish()
      else if (Number.isNaN(to)) return wrong(`usage: goto N|start|end, at most ${MOST_FRAMES}`)
      else session.goTo(to)
      return here(session)
    },
  },
  { names: ["next", "n"], usage: "next NODE", help: "advance to the next event of one node", run: nodeSeek("on") },
  {
    names: ["previous", "prev"],
    usage: "previous NODE",
    help: "back to the previous event of that node",
    run: nodeSeek("back"),
  },
  { names: ["continue", "c"], usage: "continue [WHAT]", help: `advance until WHAT: ${PREDICATES}`, run: seek("on") },
  { names: ["reverse", "r"], usage: "reverse [WHAT]", help: "back until WHAT", run: seek("back") },
]
const looks: readonly Command[] = [
  { names: ["frame", "."], usage: "frame", help: "what happened here", run: (session) => here(session) },
  {
    names: ["show", "v"],
    usage: "show [NODE]",
    help: "everything about a node, or all nodes in a table",
    run: (session, [node]) =>
      node === undefined
        ? say(clusterText(session.frame().world))
        : known(session, node)
          ? say(nodeText(session.frame().world, node, session.words))
          : wrong(`there is no ${node}`),
  },
  {
    names: ["messages", "m"],
    usage: "messages",
    help: "messages in flight",
    run: (session) => say(messagesText(session.frame().world, session.words)),
  },
  {
    names: ["invariants", "i"],
    usage: "invariants",
    help: "do they hold",
    run: (session) => say(invariantsText(session)),
  },
  {
    names: ["rules"],
    usage: "rules",
    help: "every rule of Raft that a step can name",
    run: () =>
      say(
        Object.entries(rules)
          .map(([name, text]) => `${name}: ${text}`)
          .join("\n"),
      ),
  },
  {
    names: ["hash"],
    usage: "hash",
    help: "equal worlds have equal hashes",
    run: (session) => say(`frame ${session.at()}: ${session.hash().toString(16).padStart(8, "0")}`),
  },
  {
    names: ["branches"],
    usage: "branches",
    help: "every what-if so far",
    run: (session) =>
      say(
        session
          .branches()
          .map(
            ({ id, parent, from, length }) =>
              `${id === session.branch() ? "*" : " "} ${id}: ${length} frames${parent === null ? "" : `, left branch ${parent} at frame ${from}`}`,
          )
          .join("\n"),
      ),
  },
  {
    names: ["branch"],
    usage: "branch N",
    help: "go to another branch",
    run: (session, [id]) =>
      session.switchTo(number(id, Number.NaN)) ? here(session) : wrong("no such branch; branches lists them"),
  },
  {
    names: ["save"],
    usage: "save FILE",
    help: "save everything up to here as a scenario that can be replayed",
    run: (_, [path]) => (path === undefined ? wrong("usage: save FILE") : { ...say(""), save: path }),
  },
]

const help: Command = {
  names: ["help", "h", "?"],
  usage: "help",
  help: "this",
  run: () => {
    const row = ({ names, usage, help: text }: Command): string =>
      `  ${`${usage}${names.length > 1 ? ` (${names.slice(1).join(" ")})` : ""}`.padEnd(34)} ${text}`
    return say(
      [
        "moving",
        ...moves.map(row),
        "looking",
        ...looks.map(row),
        "actions (at an earlier frame an action begins a branch; nothing is lost)",
        ...actions.map(row),
        "  quit (q)",
      ].join("\n"),
    )
  },
}
const all: readonly Command[] = [...moves, ...looks, ...actions, help]

/** An empty line is a step. */
export const command = (session: DebugSession, line: string): CommandAnswer => {
  const [name = "step", ...words] = line
    .trim()
    .split(/\s+/)
    .filter((word) => word !== "")
  if (name === "quit" || name === "q") return { ...say(""), quit: true }
  const found = all.find(({ names }) => names.includes(name))
  return found === undefined
    ? wrong(`unknown command ${name}; help lists all commands`)
    : found.run(session, words, line)
}

// ---------------------------------------------------------------------------------------------- completion

const KINDS = ["violation", "leader", "commit", "term", "rule", "node", "message", "action", "lost"]
/** The completions of the last word of the line that is being typed. */
export const wordsFor = (session: DebugSession, before: string): readonly string[] => {
  const [name = "", ...words] = before.trimStart().split(/\s+/)
  if (words.length === 0) return [...all.flatMap(({ names }) => names), "quit"]
  const { world } = session.frame()
  const given = all.find(({ names }) => names.includes(name))?.names[0] ?? name
  const before2 = words.at(-2)
  switch (given) {
    case "continue":
    case "reverse":
      if (words.length === 1)
        return [
          ...KINDS,
          ...session
            .names()
            .flatMap((node) => ["term", "commit", "applied", "last", "role"].map((field) => `${node}.${field}`)),
        ]
      if (words.length > 2) return []
      return before2 === "rule"
        ? Object.keys(rules)
        : before2 === "message"
          ? Object.keys(MESSAGES)
          : before2 === "node"
            ? session.names()
            : []
    case "goto":
      return ["start", "end"]
    case "deliver":
    case "drop":
    case "duplicate":
      return flights(world).map(({ name: flight }) => flight)
    case "crash":
      return words.length > 1 ? KEEPS : world.names
    case "fire":
      return words.length > 1 ? TIMERS : world.names
    default:
      return session.names()
  }
}
