import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import {
  checkHistory,
  demandKnown,
  detectFormat,
  kv,
  makeHistory,
  operationsOf,
  readHistory,
  register,
  startingAt,
  verdictInWords,
  writeHistory,
  type HistoryEvent,
  type Operation,
  type Value,
} from "../spec/index.ts"
import { generate } from "./linearizability.kit.ts"

const verdictOf = (text: string, model: "register" | "kv", failedCas: "nothing" | "refused" = "nothing"): string => {
  const operations = operationsOf(readHistory(text), { failedCas })
  return model === "kv" ? checkHistory(operations, kv).verdict : checkHistory(operations, register).verdict
}
const jepsen = (...lines: readonly string[]): string =>
  lines.map((line) => `INFO  jepsen.util - ${line.replaceAll("|", "\t")}\n`).join("")

describe("the recorder", () => {
  test("records what clients did, line by line, and refuses what cannot be", () => {
    let time = 0
    const written: string[] = []
    const history = makeHistory({ now: () => (time += 1), write: (line) => void written.push(line) })
    const put = history.invoke({ process: 1, f: "put", key: "x", value: "a" })
    const get = history.invoke({ process: 2, f: "get", key: "x" })
    expect(() => history.invoke({ process: 2, f: "read", key: "x" })).toThrow(
      /process 2 invokes read, but its last operation is open/,
    )
    get.ok("a")
    expect(() => get.ok("a")).toThrow(/twice/)
    put.info("timed out")
    history.invoke({ process: 1, f: "cas", key: "x", value: ["a", "b"], time: 9 }).fail("precondition", 10)
    expect(written.join("")).toBe(history.lines())
    expect(written[0]).toBe('{"process":1,"type":"invoke","f":"write","key":"x","value":"a","time":1}\n')
    expect(written[5]).toBe(
      '{"process":1,"type":"fail","f":"cas","key":"x","value":["a","b"],"time":10,"error":"precondition"}\n',
    )
    expect(operationsOf(history.events)).toEqual(operationsOf(readHistory(history.lines())))
    // The refused cas is an observation: x was not a, so the write that nobody answered cannot have been read as a.
    expect(checkHistory(operationsOf(history.events), kv).verdict).toBe("not")
    // By how much it was asked to go up is not what it came to.
    history.invoke({ process: 3, f: "incr", key: "n", value: 2 }).ok()
    expect(history.events.at(-1)?.value).toBeNull()
  })
})

describe("formats", () => {
  test("property: what is written is read back, in every format, and means the same", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000 }), fc.boolean(), fc.boolean(), (seed, keyed, text) => {
        const made = generate(kv, {
          seed,
          operations: 20,
          clients: 4,
          keys: 2,
          values: text ? 0 : 3,
          functions: keyed ? kv.functions : ["read", "write", "cas"],
          unknown: 200,
          spread: 20,
        })
        const moments = made
          .flatMap((operation) => [
            { at: operation.invoked, operation, end: false },
            ...(operation.returned === null ? [] : [{ at: operation.returned, operation, end: true }]),
          ])
          .sort((a, b) => a.at - b.at)
        const events = moments.map(
          ({
            at,
            operation: {
              process,
              input: { f, key, value },
              output,
            },
            end,
          }): HistoryEvent => {
            const failed = end && f === "cas" && output === false
            return {
              process,
              type: !end ? "invoke" : failed ? "fail" : "ok",
              f,
              key: keyed ? key : null,
              value: end && f !== "cas" && f !== "write" && f !== "append" ? (output ?? null) : value,
              time: at,
              ...(failed ? { error: "precondition" } : {}),
            }
          },
        )
        for (const format of ["jsonl", "edn", "jepsen"] as const) {
          const read = readHistory(writeHistory(events, format))
          expect(detectFormat(writeHistory(events, format))).toBe(format)
          expect(
            read.map(({ line, ...event }) => ({
              ...event,
              time: format === "jepsen" ? events[line - 1]?.time : Math.round(event.time),
            })),
          ).toEqual(events)
        }
      }),
      { numRuns: 60 },
    )
  })

  test("a log of Jepsen's: noise is skipped, nil, unknown and failed operations are told apart", () => {
    const log = `${jepsen("0|:invoke|:write|1", "1|:invoke|:read|nil", ":nemesis|:info|:start|nil", "0|:ok|:write|1", "1|:ok|:read|nil")}java.net.ConnectException: refused\n\tat clojure.lang\n${jepsen(
      "2|:invoke|:cas|[1 4]",
      "2|:info|:cas|:timed-out",
      "3|:invoke|:read|nil",
      "3|:fail|:read|:timed-out",
      "7|:invoke|:read|nil",
      "7|:ok|:read|4",
    )}`
    expect(detectFormat(log)).toBe("jepsen")
    expect(operationsOf(readHistory(log)).map(({ process, output, lines }) => [process, output, lines])).toEqual([
      [0, null, [1, 4]],
      [1, null, [2, 5]],
      [2, undefined, [8, 9]],
      [7, 4, [12, 13]],
    ])
    expect(verdictOf(log, "register")).toBe("linearizable")
    expect(verdictOf(log.replace(":ok\t:read\t4", ":ok\t:read\t3"), "register")).toBe("not")
    // Newer ones name the thread; a process that crashed may go on under its old number.
    const newer =
      "2024-05-01 12:00:00,000{GMT}\tINFO\t[jepsen worker 1] jepsen.util: 1\t:invoke\t:write\t3\n2024-05-01 12:00:01,000{GMT}\tINFO\t[jepsen worker 1] jepsen.util: 1\t:info\t:write\t3\t:timeout\nINFO [jepsen worker 1] jepsen.util: 1\t:invoke\t:read\tnil\nINFO jepsen.util: 1\t:ok\t:read\t3\n"
    expect(verdictOf(newer, "register")).toBe("linearizable")
  })

  test("a failed cas says nothing but that it did not happen, unless one says that it does", () => {
    const log = jepsen("0|:invoke|:write|1", "0|:ok|:write|1", "1|:invoke|:cas|[1 2]", "1|:fail|:cas|[1 2]")
    expect([verdictOf(log, "register"), verdictOf(log, "register", "refused")]).toEqual(["linearizable", "not"])
    expect(verdictOf(log.replace(/\[1 2\]\n$/, ":timed-out\n"), "register", "refused")).toBe("linearizable")
  })

  test("an answer of 1 or 0 is true or false: a refused cas, a delete of something or of nothing", () => {
    const log = (f: string, asked: string, answer: string): string =>
      jepsen(
        "0|:invoke|:write|[:k 1]",
        "0|:ok|:write|[:k 1]",
        `1|:invoke|:${f}|[:k ${asked}]`,
        `1|:ok|:${f}|[:k ${answer}]`,
      )
    const verdicts = (f: string, asked: string, ...answers: readonly string[]): string =>
      answers.map((answer) => `${answer} ${verdictOf(log(f, asked, answer), "kv")}`).join(", ")
    expect(verdicts("delete", "nil", "1", "true", "nil", "0", "false")).toBe(
      "1 linearizable, true linearizable, nil linearizable, 0 not, false not",
    )
    expect(verdicts("cas", "[1 2]", "[1 2]", "1", "true", "nil", "0", "false")).toBe(
      "[1 2] linearizable, 1 linearizable, true linearizable, nil linearizable, 0 not, false not",
    )
    expect(verdicts("cas", "[5 2]", "[5 2]", "1", "0", "false")).toBe(
      "[5 2] not, 1 not, 0 linearizable, false linearizable",
    )
    expect(verdictOf(log("cas", "[5 2]", "").replace("[:k ]", "false"), "register")).toBe("linearizable")
    expect(verdictOf(log("cas", "[1 2]", "false").replace(":ok\t:cas", ":fail\t:cas"), "register", "refused")).toBe(
      "not",
    )
  })

  test("a byte order mark is passed over", () => {
    expect(readHistory('\uFEFF{"process":0,"type":"invoke","f":"read"}\n')).toHaveLength(1)
  })

  test("EDN: maps in a row or in a vector, records, keys beside the value or in a pair with it", () => {
    const rows =
      '{:process 4, :type :invoke, :f :append, :key "3", :value "x"}\n{:process 4, :type :ok, :f :append, :key "3", :value "x"} ; all\n{:process 1, :type :invoke, :f :get, :key "3", :value nil}\n#_{:process 9}\n{:process 1, :type :ok, :f :get, :key "3", :value "x"}\n'
    expect(verdictOf(rows, "kv")).toBe("linearizable")
    expect(verdictOf(`[${rows}]`, "kv")).toBe("linearizable")
    expect(verdictOf(rows.replace(/"x"\}\n$/, '"y"}\n'), "kv")).toBe("not")
    const tuples = `[#jepsen.history.Op{:index 0, :time 1000000, :type :invoke, :process 0, :f :write, :value [7 1]}
 #jepsen.history.Op{:index 1, :time 2000000, :type :ok, :process 0, :f :write, :value [7 1]}
 {:index 2, :type :info, :process :nemesis, :f :start, :value {:a #{1 2}}}
 {:index 3, :type :invoke, :process 1, :f :cas, :value [7 [1 2]]} {:index 4, :type :ok, :process 1, :f :cas, :value [7 [1 2]]}
 {:index 5, :type :invoke, :process 2, :f :read, :value [8 nil]}
 {:index 6, :type :ok, :process 2, :f :read, :value [8 nil]}]`
    expect(readHistory(tuples).map(({ key, line, time }) => [key, line, time])).toEqual([
      ["7", 1, 1],
      ["7", 2, 2],
      ["7", 4, 0],
      ["7", 4, 0],
      ["8", 5, 0],
      ["8", 6, 0],
    ])
    expect(verdictOf(tuples, "register")).toBe("linearizable")
    expect(verdictOf(tuples.replaceAll("[8 nil]", "[7 nil]").replace("[7 nil]}]", "[7 1]}]"), "register")).toBe("not")
    expect(
      readHistory("{:process 0 :type :invoke :f :write :value [1 2]}{:process 0 :type :ok :f :write :value nil}")[0]
        ?.value,
    ).toEqual([1, 2])
  })

  test("what versions of Jepsen print before an operation is passed over, and history.txt has nothing there", () => {
    const heads = [
      "INFO [2024-03-01 10:00:00,001] jepsen worker 0 - jepsen.util ",
      "2018-08-30 09:00:00,001{GMT}\tINFO\t[jepsen worker 0] jepsen.util: ",
      "INFO  jepsen.util - ",
      "",
    ]
    for (const head of heads) {
      const log = (seen: string): string =>
        [
          "0|:invoke|:write|2",
          "0|:ok|:write|2",
          ":nemesis|:info|:start|nil",
          "1|:invoke|:cas|[2 5]",
          "1|:info|:cas|[2 5]|:timeout",
          "3|:invoke|:read|nil",
          `3|:ok|:read|${seen}`,
        ]
          .map((line) => `${head}${line.replaceAll("|", "\t")}\n`)
          .join("")
      expect(
        ["2", "5", "nil", "4"].map((seen) => verdictOf(log(seen), "register")),
        head,
      ).toEqual(["linearizable", "linearizable", "not", "not"])
    }
  })

  test("JSON may be one array of events, and its lines are told", () => {
    const array =
      '[{"process":1,"type":"invoke","f":"write","value":"}{"},\n{"process":1,"type":"ok","f":"write","value":"}{"},{"process":2,"type":"invoke","f":"read"},\n\n{"process":2,"type":"ok","f":"read","value":"}{"}]'
    expect(readHistory(array).map(({ line }) => line)).toEqual([1, 2, 2, 4])
    expect([verdictOf(array, "register"), verdictOf(array.replace(/"\}\{"\}\]$/, "null}]"), "register")]).toEqual([
      "linearizable",
      "not",
    ])
  })

  test("a cas as [key old new], and values with versions, which are passed over", () => {
    const row = (process: number, type: string, f: string, value: string): string =>
      `{:process ${process} :type :${type} :f :${f} :value ${value}}\n`
    const flat = (seen: string): string =>
      row(1, "invoke", "cas", '["k" nil "a"]') +
      row(1, "ok", "cas", '["k" nil "a"]') +
      row(2, "invoke", "read", '["k" nil]') +
      row(2, "ok", "read", `["k" ${seen}]`)
    expect(readHistory(flat("nil")).map(({ key, value }) => [key, value])).toEqual([
      ["k", [null, "a"]],
      ["k", [null, "a"]],
      ["k", null],
      ["k", null],
    ])
    expect([verdictOf(flat('"a"'), "register"), verdictOf(flat("nil"), "register")]).toEqual(["linearizable", "not"])
    const versioned = (seen: string, wrap: (value: string) => string): string =>
      row(1, "invoke", "write", wrap("[nil 4]")) +
      row(1, "ok", "write", wrap("[1 4]")) +
      row(2, "invoke", "cas", wrap("[nil [4 7]]")) +
      row(2, "ok", "cas", wrap("[2 [4 7]]")) +
      row(3, "invoke", "read", wrap("[nil nil]")) +
      row(3, "ok", "read", wrap(seen))
    for (const wrap of [(value: string) => value, (value: string) => `[9 ${value}]`])
      expect([
        verdictOf(versioned("[2 7]", wrap), "register"),
        verdictOf(versioned("[1 4]", wrap), "register"),
      ]).toEqual(["linearizable", "not"])
  })

  test("without an operation of a client there is nothing to explain: linearizable, with a remark", () => {
    for (const text of [
      "[]",
      "{:process :nemesis, :type :info, :f :kill, :value nil}",
      "INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n",
      ":nemesis\t:info\t:start\tnil\n",
    ]) {
      const verdict = checkHistory(operationsOf(readHistory(text)), register)
      expect(verdictInWords(verdict, register)).toEqual([
        "Linearizable: 0 operations, 0 model steps.",
        expect.stringMatching(/^There is nothing to judge/),
      ])
    }
  })

  test("a register need not begin with nil", () => {
    const history = (seen: Value): Operation[] => [
      { process: 1, input: { f: "read", key: "k", value: null }, output: seen, invoked: 0, returned: 1 },
    ]
    const verdicts = (model: typeof register | typeof kv, ...seen: readonly Value[]): readonly string[] =>
      seen.map((one) => checkHistory(history(one), startingAt<never>(model as never, 0)).verdict)
    expect(verdicts(register, 0, 1, "0")).toEqual(["linearizable", "not", "not"])
    expect(verdicts(kv, 0, "0", 1)).toEqual(["linearizable", "linearizable", "not"])
  })

  test('a get of a missing key is "" where the format has no nil', () => {
    const lines = (seen: string): string =>
      `{"process":0,"type":"invoke","f":"get","key":"a"}\n{"process":0,"type":"ok","f":"get","key":"a","value":${seen}}\n`
    expect([verdictOf(lines('""'), "kv"), verdictOf(lines("null"), "kv"), verdictOf(lines('"x"'), "kv")]).toEqual([
      "linearizable",
      "linearizable",
      "not",
    ])
  })
})

describe("what cannot be read is told with its line and what was expected", () => {
  const bad = (text: string, format: "auto" | "jsonl" | "edn" | "jepsen" = "auto"): string => {
    try {
      const operations = operationsOf(readHistory(text, format))
      demandKnown(operations, register, [kv])
    } catch (error) {
      return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    }
    return "fine"
  }
  const line = (parts: object): string => `${JSON.stringify({ process: 1, type: "invoke", f: "read", ...parts })}\n`
  test.each([
    ["an empty file", bad(""), /the history is empty; expected a JSON object such as/],
    ["another file", bad("hello\nworld"), /line 1: the format of this history is not known; expected/],
    [
      "broken JSON",
      bad(`${line({})}{"process":1,\n`),
      /line 2: not JSON .*expected a JSON object such as \{"process":4/,
    ],
    ["no process", bad(line({ process: null })), /line 1: "process" is null; expected a number or a string/],
    ["a wrong type", bad(line({ type: "done" })), /line 1: the type is "done"; expected invoke, ok, fail, info/],
    ["a wrong operation", bad(line({ f: "pop" })), /line 1: the operation is "pop"; expected read, write, cas/],
    ["a cas of one value", bad(line({ f: "cas", value: 3 })), /line 1: a cas of 3; expected two values, \[old, new\]/],
    ["an incr by a word", bad(line({ f: "incr", value: "x" })), /line 1: an incr by "x"; expected a whole number/],
    ["an incr by a list", bad(line({ f: "incr", value: [5] })), /line 1: an incr by \[5\]; expected a whole number/],
    [
      "an incr to a word",
      bad(line({ f: "incr" }) + line({ f: "incr", type: "ok", value: "x" })),
      /line 2: an ok incr with the value "x"; expected the new number/,
    ],
    [
      "a delete of two",
      bad(line({ f: "delete" }) + line({ f: "delete", type: "ok", value: 2 })),
      /line 2: an ok delete with the value 2; expected true or 1 if/,
    ],
    [
      "a cas that answers a word",
      bad(line({ f: "cas", value: [1, 2] }) + line({ f: "cas", type: "ok", value: "no" })),
      /line 2: an ok cas with the value "no"; expected false or 0 if/,
    ],
    [
      "a value that is rounded",
      bad(`${line({})}{"process":2,"type":"invoke","f":"cas","value":[1,9007199254740993]}\n`),
      /line 2: an integer near 9007199254740992, which .* write such numbers as strings/,
    ],
    [
      "a key that is rounded",
      bad('{"process":2,"type":"invoke","f":"read","key":-9007199254740993}'),
      /line 1: an integer near -9007199254740992/,
    ],
    [
      "EDN that is rounded",
      bad("{:process 1 :type :invoke :f :read :key 9007199254740993N}"),
      /line 1: an integer near/,
    ],
    ["a log that is rounded", bad(jepsen("0|:invoke|:write|[9007199254740993 1]")), /line 1: an integer near/],
    [
      "an end without a beginning",
      bad(line({ type: "ok" })),
      /line 1: process 1 ends read \(ok\), but has no operation open/,
    ],
    [
      "two at once",
      bad(line({}) + line({ f: "write" })),
      /line 2: process 1 invokes write, but its read of line 1 is still open; expected its end first/,
    ],
    [
      "another end",
      bad(line({}) + line({ type: "ok", f: "write" })),
      /line 2: process 1 ends write, but what it has open, since line 1, is read/,
    ],
    [
      "another key",
      bad(line({ key: "a" }) + line({ type: "ok", key: "b" })),
      /line 2: process 1 ends read of b, but what it has open, since line 1, is read of a/,
    ],
    [
      "an operation of another model",
      bad(line({ f: "append", value: "x" })),
      /line 1: append is no operation of a register, which has read, write, cas; the model kv has it/,
    ],
    ["EDN that does not end", bad("{:process 1, :type :invoke\n"), /line 1: "\{" is not closed/],
    [
      "EDN that closes too much",
      bad("{:process 1 :type :invoke :f :read}\n]"),
      /line 2: "]" closes nothing that is open/,
    ],
    ["EDN without :f", bad("\n{:process 1, :type :invoke}"), /line 2: no :type or no :f; expected a map such as/],
    [
      "a log without a line of a history",
      bad("INFO jepsen.core - Tearing down\n", "jepsen"),
      /it is no history, not even an empty one; expected a line such as INFO/,
    ],
    ["a JSON array that does not end", bad(`[${line({})}`), /line 1: not JSON .*expected a JSON object such as/],
    ["a JSON array with a wrong type", bad(`[${line({})},\n${line({ type: "done" })}]`), /line 3: the type is "done"/],
    [
      "transactions under :write",
      bad("{:process 1 :type :invoke :f :write :value [[:w 9 2]]}"),
      /line 1: a transaction, \[\[":w",9,2\]\]; expected operations on one key each/,
    ],
    [
      "transactions under :read, in JSON",
      bad(
        line({
          value: [
            ["r", 9, null],
            ["w", 8, 1],
          ],
        }),
      ),
      /line 1: a transaction, /,
    ],
    ["transactions by name", bad("1\t:invoke\t:txn\t[[:append 9 2]]"), /line 1: a transaction, /],
    ["a log with another operation", bad(jepsen("0|:invoke|:enqueue|1")), /line 1: the operation is "enqueue"/],
  ])("%s", (_, told, expected) => {
    expect(told).toMatch(expected)
    expect(told).toMatch(/^BadHistory: /)
  })
})
