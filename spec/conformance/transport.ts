/** Checks that a Transport keeps its contract (interpreters/contract.ts). Each check makes a network of its own. */
import { emptyConfiguration, origin, type Member, type Message } from "../../core/index.ts"
import { MAX_SERVICE_BYTES, type ServiceMessage } from "../../interpreters/contract.ts"
import { makeRandom } from "../../interpreters/simulation/index.ts"
import {
  checksOf,
  demand,
  demandEqual,
  plainText,
  sleep,
  eventLoopTurns,
  until,
  type ConformanceOptions,
  type ConformanceCheck,
} from "./check.ts"
import { randomBytesOf, entryAfter, memberNamed } from "./entries.ts"
import {
  type Joining,
  type TransportSubject,
  arrives,
  appendOfRound,
  connected,
  everyMessage,
  first,
  joiningOf,
  waitMuchLonger,
  memberLabel,
  Node,
  roundsOf,
} from "./joined.ts"

export const transportConformance = (
  make: () => Promise<TransportSubject>,
  options: ConformanceOptions = {},
): readonly ConformanceCheck[] => {
  const { seed = 1 } = options
  const network = async (
    body: (join: (who: Member, more?: Partial<Joining>, attached?: boolean) => Promise<Node>) => Promise<void>,
  ): Promise<void> => {
    const subject = await make()
    const nodes: Node[] = []
    try {
      await body(async (who, more, attached) => {
        const node = new Node(who, await subject.join(joiningOf(who, more)), attached)
        nodes.push(node)
        return node
      })
    } finally {
      for (const node of nodes) await node.leave()
      await subject.dispose()
    }
  }
  const a = memberNamed("a")
  const b = memberNamed("b")
  const c = memberNamed("c")

  return checksOf(
    [
      {
        name: "members find each other",
        demands:
          "each of two members that join is reported to the other as `connected`, once, in whatever order they join; what one sends and flushes arrives at the member it is addressed to, with the name of its sender",
        why: "a cluster whose members cannot all reach one another elects nobody, or somebody who cannot lead",
        run: () =>
          network(async (join) => {
            const nodes = [await join(a), await join(b), await join(c)]
            await connected(...nodes)
            for (const [i, from] of nodes.entries())
              for (const [j, to] of nodes.entries()) if (i !== j) await arrives(from, to, 10 * i + j)
            for (const { member: own, got, links } of nodes) {
              const strangers = got.filter(
                ({ from, message }) =>
                  message.type !== "AppendEntries" || from.name !== nodes[Math.floor(message.round / 10)]?.member.name,
              )
              demandEqual(`what ${own.name} got under another's name`, strangers, [])
              demandEqual(
                `what ${own.name} was told`,
                links.toSorted(),
                nodes
                  .filter(({ member: { name } }) => name !== own.name)
                  .map(({ member: other }) => `+${memberLabel(other)}`),
              )
            }
          }),
      },
      {
        name: "messages arrive as they are",
        demands:
          "every message of every type arrives with each number, text, byte and chunk as it was sent, or not at all",
        why: "Raft trusts what it is told: a flipped `granted` elects two leaders, a changed number breaks a log",
        run: () =>
          network(async (join) => {
            const [from, to] = [await join(a), await join(b)]
            await connected(from, to)
            const all = everyMessage(makeRandom(seed))
            const wanted = all.map(({ message, chunk }) => ({
              text: plainText({ message, chunk }),
              type: message.type,
            }))
            const missing = (): string[] => {
              const got = new Set(to.got.map(({ message, chunk }) => plainText({ message, chunk })))
              return wanted.filter(({ text }) => !got.has(text)).map(({ type }) => type)
            }
            for (let tries = 0; tries < 20 && missing().length > 0; tries++) {
              for (const { message, chunk } of all) from.transport.send(b, message, chunk)
              from.transport.flush()
              const before = to.got.length
              await until("messages arrive", () => to.got.length >= before + all.length, 2000).catch(() => undefined)
            }
            const known = new Set(wanted.map(({ text }) => text))
            const changed = to.got.find(({ message, chunk }) => !known.has(plainText({ message, chunk })))
            demand(
              changed === undefined,
              () =>
                `a ${changed?.message.type} arrived that nobody had sent: ${plainText(changed?.message).slice(0, 300)}`,
            )
            demandEqual("the types that never arrived", [...new Set(missing())], [])
            demandEqual(
              "what was sent, afterwards",
              all.map(({ message, chunk }) => plainText({ message, chunk })),
              wanted.map(({ text }) => text),
            )
          }),
      },
      {
        name: "received bytes stay as they are",
        demands: "the bytes of a message that arrived stay as they are while others follow",
        why: "received entries go into the log as they are; memory that is used again changes them afterwards",
        run: () =>
          network(async (join) => {
            const [from, to] = [await join(a), await join(b)]
            await connected(from, to)
            const random = makeRandom(seed + 1)
            const entry = entryAfter(
              { ...origin, index: 4, term: 1 },
              { kind: "command", bytes: randomBytesOf(random, 700) },
            )
            const message: Message = {
              type: "AppendEntries",
              term: 1,
              prevLogIndex: 4,
              prevLogTerm: 1,
              prevLogChain: 0,
              entries: [entry],
              leaderCommit: 0,
              round: 1,
              time: 0,
              settled: false,
            }
            await until("the message arrives", () => {
              from.say(to, message)
              return to.got.length > 0
            })
            const kept = to.got[0]
            const text = plainText(kept)
            for (let i = 0; i < 200; i++) {
              const other = entryAfter(
                { ...origin, index: 4, term: 1 },
                { kind: "command", bytes: randomBytesOf(random, 700) },
              )
              from.say(to, { ...message, entries: [other], round: 2 + i })
            }
            await arrives(from, to, 1000)
            demand(plainText(kept) === text, () => "the bytes of an entry changed after it had arrived")
          }),
      },
      {
        name: "handlers are called later",
        demands:
          "`attach`, `send` and `flush` return before any handler is called, and peers that were connected before `attach` are told after it",
        why: "the driver sends in the middle of a turn; an answer in the middle of it would be handled half-way through",
        run: () =>
          network(async (join) => {
            const from = await join(a, {}, false)
            const to = await join(b)
            await until("b hears of a", () => to.isConnected(a))
            let inside = true
            let early = false
            const told: string[] = []
            const called = (what: string): void => {
              early ||= inside
              told.push(what)
            }
            from.transport.attach({
              received: () => called("received"),
              connected: (peer) => called(`+${memberLabel(peer)}`),
              disconnected: () => called("disconnected"),
            })
            inside = false
            await until("a is told of b", () => told.includes("+b/b-1"))
            inside = true
            for (let round = 0; round < 50; round++) {
              from.transport.send(b, appendOfRound(round), null)
              to.transport.send(a, appendOfRound(round), null)
            }
            from.transport.flush()
            to.transport.flush()
            inside = false
            await until("messages arrive", () => told.includes("received"))
            demand(!early, () => `a handler was called within a call (${told[0] ?? ""})`)
          }),
      },
      {
        name: "who leaves is told, once",
        demands:
          "when a member's process ends the others are told `disconnected`; nothing of it arrives after that; when it is back they are told `connected` and it is reached again",
        why: "a follower asks for an election as soon as its leader is gone; a leader asks anew where a follower is that was away",
        run: () =>
          network(async (join) => {
            const one = await join(a)
            const before = await join(b)
            await connected(one, before)
            await before.leave()
            await until("a is told that b is gone", () => !one.isConnected(b))
            const count = one.got.length
            one.say(before, appendOfRound(1), appendOfRound(2))
            await eventLoopTurns(20)
            demandEqual("messages of b after it had left", one.got.length - count, 0)
            const after = await join(b, { start: { number: 2, words: [11, 12] } })
            await connected(one, after)
            await arrives(one, after, 7)
            await arrives(after, one, 8)
            demandEqual("what a was told of b", one.links, ["+b/b-1", "-b/b-1", "+b/b-1"])
          }),
      },
      {
        name: "nothing reaches another incarnation",
        demands:
          "what is sent to an incarnation arrives there or nowhere: not at the one that has taken its name since",
        why: "a server that lost its disk has forgotten what it voted for; a message to the earlier one would make it vote twice",
        run: () =>
          network(async (join) => {
            const one = await join(a)
            const old = await join(b)
            await connected(one, old)
            await old.leave()
            await until("a is told that b is gone", () => !one.isConnected(b))
            const fresh = await join(memberNamed("b", "b-2"))
            await connected(one, fresh)
            for (let i = 0; i < 20; i++) one.say(old, appendOfRound(i))
            await arrives(one, fresh, 100)
            demandEqual(
              "what arrived that was for the earlier incarnation",
              roundsOf(fresh.got).filter((round) => round < 100),
              [],
            )
            await arrives(fresh, one, 101)
            demandEqual("who said it", [...new Set(one.got.map(({ from }) => memberLabel(from)))], ["b/b-2"])
          }),
      },
      {
        name: "clusters do not mix",
        demands: "members of different clusters are never `connected`, and nothing gets from one to the other",
        why: "two clusters whose addresses were mixed up would overwrite each other's logs",
        run: () =>
          network(async (join) => {
            const since = performance.now()
            const [one, same, other] = [await join(a), await join(b), await join(c, { cluster: "another" })]
            await connected(one, same)
            for (let i = 0; i < 10; i++) {
              one.say(other, appendOfRound(i))
              other.say(one, appendOfRound(i))
              await sleep(5)
            }
            await waitMuchLonger(since)
            demandEqual(
              "what a was told of c",
              one.links.filter((word) => word.includes("c/")),
              [],
            )
            demandEqual("what c was told", other.links, [])
            demandEqual("messages across", [...one.got, ...other.got], [])
          }),
      },
      {
        name: "a node that is not formed yet talks to one that is",
        demands: "a member that knows no cluster is connected with members of any",
        why: "that is how a new node learns whom it belongs to",
        run: () =>
          network(async (join) => {
            const [one, fresh] = [await join(a), await join(b, { cluster: null })]
            await connected(one, fresh)
            await arrives(fresh, one, 1)
          }),
      },
      {
        name: "a start that went back is refused",
        demands:
          "a member that has seen a start of a directory exchanges nothing with a start that does not come after it: a directory that was restored to an earlier state (its recorded starts do not contain that one), or an earlier start that runs again",
        why: "a directory that was restored to an earlier state has forgotten votes and acknowledgements: it could vote twice, and a majority could lose what it acknowledged",
        run: async () => {
          for (const [met, told] of [
            [
              { number: 2, words: [11, 12] },
              { number: 2, words: [11, 99] },
            ],
            [
              { number: 2, words: [11, 12] },
              { number: 5, words: [11, 99, 14, 15, 16] },
            ],
            [{ number: 2, words: [11, 12] }, first],
          ] as const) {
            await network(async (join) => {
              const since = performance.now()
              const one = await join(a)
              const before = await join(b, { start: met })
              await connected(one, before)
              await before.leave()
              await until("a is told that b is gone", () => !one.isConnected(b))
              const back = await join(b, { start: told })
              const other = await join(c)
              await connected(one, other)
              for (let i = 0; i < 10; i++) {
                back.say(one, appendOfRound(i))
                one.say(back, appendOfRound(i))
                await sleep(5)
              }
              await waitMuchLonger(since)
              demandEqual(
                `what a was told of start ${plainText(told)} after it had met ${plainText(met)}`,
                one.links.filter((word) => word.includes("b/")),
                ["+b/b-1", "-b/b-1"],
              )
              demandEqual("messages that were exchanged", [...one.got, ...back.got], [])
            })
          }
        },
      },
      {
        name: "a log that holds less is refused",
        demands:
          "a later start whose log holds less than that member has acknowledged to a peer (AppendAccepted) or voted for exchanges nothing with that peer",
        why: "what was acknowledged counts towards a majority: a log that has lost it must not vote",
        run: () =>
          network(async (join) => {
            const since = performance.now()
            const one = await join(a)
            const before = await join(b)
            await connected(one, before)
            const said: Message = {
              type: "AppendAccepted",
              term: 3,
              verifiedIndex: 12,
              verifiedChain: 0,
              matchIndex: 12,
              round: 1,
              condition: "ready",
              wall: 0,
              leaderTime: 0,
            }
            await until("a is told that entry 12 is on b's disk", () => {
              if (one.got.length === 0) before.say(one, said)
              return one.got.length > 0
            })
            await before.leave()
            await until("a is told that b is gone", () => !one.isConnected(b))
            const short = await join(b, { start: { number: 2, words: [11, 12] }, recovered: { term: 3, index: 11 } })
            const other = await join(c)
            await connected(one, other)
            await waitMuchLonger(since)
            demand(!one.isConnected(b) && !short.isConnected(a), () => "it was connected")
            await short.leave()
            const whole = await join(b, {
              start: { number: 3, words: [11, 12, 13] },
              recovered: { term: 3, index: 12 },
            })
            await connected(one, whole)
          }),
      },
      {
        name: "a second process does not take over",
        demands: "while a start of a directory is connected, another start of it is not, and the first stays connected",
        why: "two processes on copies of one directory would vote as two, under one name",
        run: () =>
          network(async (join) => {
            const since = performance.now()
            const [one, lives] = [await join(a), await join(b)]
            await connected(one, lives)
            const double = await join(b, { start: { number: 2, words: [11, 12] } })
            await waitMuchLonger(since)
            double.say(one, appendOfRound(1))
            // Long enough for a transport that detects this by keep-alives.
            for (let i = 0; i < 12; i++) {
              lives.say(one, appendOfRound(50 + i))
              await sleep(50)
            }
            await arrives(lives, one, 100)
            demandEqual("what a was told of b", one.links, ["+b/b-1"])
            demandEqual("what the second process was told", double.links, [])
          }),
      },
      {
        name: "questions of services arrive as they are",
        demands:
          "`sendService` carries questions and answers of up to MAX_SERVICE_BYTES, each number and byte as it was given, from the member that sent it to the incarnation that it is for, and to no other; `serviceSaid` is called later",
        why: "an answer is matched to its question by its numbers: one that is changed, or meant for an earlier incarnation, is taken for the answer to another question",
        run: () =>
          network(async (join) => {
            const [one, old, stranger] = [await join(a), await join(b), await join(c, { cluster: "another" })]
            await connected(one, old)
            const random = makeRandom(seed + 2)
            const all = (["ServiceQuestion", "ServiceAnswer"] as const).flatMap((type) =>
              [0, 1, 3000, MAX_SERVICE_BYTES].map((size, i): ServiceMessage => ({
                type,
                bootId: 2 ** 32 - 1 - i,
                ref: 7 + i,
                bytes: randomBytesOf(random, size),
              })),
            )
            const wanted = all.map((message) => plainText({ from: a, message }))
            const missing = (): readonly string[] => {
              const heard = new Set(old.service.map(plainText))
              return wanted.filter((text) => !heard.has(text))
            }
            for (let tries = 0; tries < 20 && missing().length > 0; tries++) {
              const before = old.service.length
              one.ask(b, ...all)
              demand(old.service.length === before, () => "`serviceSaid` was called before `sendService` had returned")
              one.ask(c, ...all)
              await until("questions arrive", () => old.service.length >= before + all.length, 2000).catch(
                () => undefined,
              )
            }
            demandEqual("questions and answers that never arrived", missing(), [])
            const changed = old.service.find((said) => !wanted.includes(plainText(said)))
            demand(
              changed === undefined,
              () => `something arrived that nobody had said: ${plainText(changed).slice(0, 300)}`,
            )
            await old.leave()
            await until("a is told that b is gone", () => !one.isConnected(b))
            const fresh = await join(memberNamed("b", "b-2"))
            await connected(one, fresh)
            const asked: ServiceMessage = { type: "ServiceQuestion", bootId: 1, ref: 1, bytes: new Uint8Array(3) }
            for (let tries = 0; tries < 400 && fresh.service.length === 0; tries++) {
              one.ask(b, { ...asked, ref: 2 })
              one.ask(fresh.member, asked)
              await sleep(5)
            }
            demandEqual(
              "what arrived at the later incarnation",
              [...new Set(fresh.service.map(({ message }) => message.ref))],
              [1],
            )
            demandEqual("what arrived in another cluster", stranger.service, [])
          }),
      },
      {
        name: "memory is bounded",
        demands:
          "to a peer whose process takes nothing, more than 100 MB can be sent without keeping it: what does not fit is dropped, and once the peer takes messages again, later ones arrive",
        why: "one slow follower must not use up the leader's memory",
        run: () =>
          network(async (join) => {
            const [from, to] = [await join(a), await join(b)]
            await connected(from, to)
            const chunk = new Uint8Array(1 << 20)
            const snapshot = { ...origin, id: "big", index: 1, term: 1, configuration: emptyConfiguration }
            const takenOf = (term: number): number =>
              to.got.filter(({ message }) => message.type === "InstallSnapshot" && message.term === term).length
            for (const term of [1, 2]) {
              // All in one turn of the event loop, so that nothing can be received meanwhile.
              for (let i = 0; i < 128; i++) {
                from.transport.send(
                  b,
                  {
                    type: "InstallSnapshot",
                    term,
                    snapshot,
                    offset: i << 20,
                    length: chunk.length,
                    last: false,
                    round: i,
                  },
                  chunk,
                )
                from.transport.flush()
              }
              await arrives(from, to, term)
              demand(takenOf(term) < 100, () => `${takenOf(term)} of 128 MB were kept until the peer could take them`)
              // On a busy machine the sender may not know yet what the peer has received: then it drops messages once
              // more.
              for (let tries = 0; tries < 400 && takenOf(term) === 0; tries++) {
                from.transport.send(
                  b,
                  { type: "InstallSnapshot", term, snapshot, offset: 0, length: chunk.length, last: false, round: 0 },
                  chunk,
                )
                from.transport.flush()
                await sleep(5)
              }
              demand(takenOf(term) > 0, () => `nothing fits any more, although the peer has taken what was sent before`)
            }
          }),
      },
    ],
    options,
  )
}
