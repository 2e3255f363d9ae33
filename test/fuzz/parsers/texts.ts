/** What people and programs write as text for the verifying tools: histories, traces and scenarios. */
import { readTrace } from "../../../interpreters/debugger/file.ts"
import { TraceUnreadable } from "../../../interpreters/debugger/fields.ts"
import { decodeEvent, encodeEvent } from "../../../interpreters/debugger/trace.ts"
import { actionLine, headerLine, scenarioText } from "../../../interpreters/simulation/index.ts"
import { BadHistory } from "../../../spec/linearizability/edn.ts"
import { detectFormat, readHistory, writeHistory, type ReadEvent } from "../../../spec/linearizability/formats.ts"
import type { HistoryEvent } from "../../../spec/linearizability/history.ts"
import { must, orRefused, told, type Parser } from "../parser.ts"

/** Without lines, and with numbers as JSON has them. */
const plain = (events: readonly ReadEvent[]): string =>
  told(JSON.parse(JSON.stringify(events.map((event) => ({ ...event, line: 0 })))))
const withoutTimes = (events: readonly HistoryEvent[]): readonly HistoryEvent[] =>
  events.map((event) => ({ ...event, time: 0 }))
const isSafe = (value: unknown): boolean =>
  Array.isArray(value)
    ? value.every(isSafe)
    : typeof value !== "number" || Number.isSafeInteger(value) || !Number.isInteger(value)
const isFlat = ({ f, value }: HistoryEvent): boolean => !Array.isArray(value) || f === "cas"
const checkHistory = (input: Buffer): void => {
  const text = input.toString("utf8")
  const events = orRefused(() => readHistory(text), BadHistory)
  const format = detectFormat(text.replace(/^\uFEFF/, ""))
  if (events === undefined || events.length === 0) return
  must(format !== undefined, "a history of no format was read")
  must(
    events.every(({ line }) => line >= 1 && line <= text.split("\n").length),
    "an event from a line that is not there",
  )
  must(
    events.every(({ process, value }) => isSafe(process) && isSafe(value)),
    "an integer that was rounded",
  )
  const json = writeHistory(events, "jsonl")
  must(plain(readHistory(json)) === plain(events), "written as JSON it is another history")
  // Without keys, pairs of values may be read as key and value: that is how other tools write them.
  const edn = withoutTimes(events)
  if (!edn.every(isFlat) || !edn.some(({ key }) => key !== null)) return
  must(
    plain(readHistory(writeHistory(edn, "edn"))) === plain(edn.map((event) => ({ ...event, line: 0 }))),
    "written as EDN it is another history",
  )
}

const script = {
  seed: 7,
  options: { nodes: 3, settings: { heartbeat: 50, electionMin: 150, electionMax: 300 }, network: "lossy" },
} as const
const events = [
  {
    type: "MessageReceived",
    from: { name: "n2", incarnation: "1" },
    message: { type: "RequestVote", term: 2, lastLogIndex: 1, lastLogTerm: 1, transfer: false },
  },
  { type: "Proposed", ref: 1, payloads: [{ bytes: { $bytes: "AAEC" }, checksum: 77 }] },
  { type: "Proposed", ref: 2, payloads: [{ bytes: { $length: 10 }, checksum: 78 }] },
]
const lines = (...some: readonly string[]): Buffer => Buffer.from(`${some.join("\n")}\n`)
const traces = (): readonly Buffer[] => {
  const header = headerLine({ seed: script.seed, options: { nodes: 3, settings: script.options.settings } })
  return [
    lines(
      header,
      actionLine({ type: "run", ms: 300 }),
      actionLine({ type: "propose", node: "n1", id: 1, bytes: 20, count: 2 }),
      actionLine({ type: "change", node: "n1", voters: ["n1", "n2"], learners: ["n3"] }),
      actionLine({ type: "crash", node: "n2", keep: "torn" }),
      actionLine({ type: "partition", side: ["n1"] }),
      actionLine({ type: "disk", node: "n1", min: 1, max: 20 }),
      actionLine({ type: "fire", node: "n1", timer: "election" }),
      '{"i":256,"hash":305419896}',
      '{"violates":"ElectionSafety","at":301,"message":"two leaders"}',
    ),
    lines(
      "# a note",
      header,
      ...events.map((event, i) => `{"i":${i},"at":${i * 5},"node":"n1","event":${JSON.stringify(event)},"cause":-1}`),
    ),
    lines(header, `{"action":{"type":"inject","node":"n1","event":${JSON.stringify(events[1])}}}`),
    lines(
      header,
      '{"action":{"type":"network","profile":{"lossPermille":1,"duplicatePermille":2,"delayMin":1,"delayMax":9,"longDelayPermille":0,"longDelayMax":0}}}',
    ),
    lines(
      '{"v":1,"seed":7,"config":{"nodes":3}}',
      '{"i":0,"at":0,"node":"n1","event":{"type":"Proposed","payloads":[{"bytes":{"$length":9}}]}}',
    ),
    Buffer.from("[".repeat(20_000)),
  ]
}
const checkTrace = (input: Buffer): void => {
  const trace = orRefused(() => readTrace(input.toString("utf8")), TraceUnreadable)
  if (trace === undefined) return
  const again = readTrace(scenarioText(trace.script, { violation: trace.violation }))
  must(told(again.script) === told(trace.script), "written again it is another script")
  must(told(again.violation) === told(trace.violation), "written again it is another violation")
  // Bytes that were left out are written as what they are read as, which may be very many.
  if (/\$length\W*[\d.e+]{6,}/i.test(input.toString("latin1"))) return
  for (const event of trace.steps.flatMap((step) => step.events))
    must(told(decodeEvent(encodeEvent(event))) === told(event), "written again it is another event")
}

const EDN = "spec/linearizability/edn.ts"
const FORMATS = "spec/linearizability/formats.ts"
const FILE = "interpreters/debugger/file.ts"
const FIELDS = "interpreters/debugger/fields.ts"
const TRACE = "interpreters/debugger/trace.ts"
export const parsers: readonly Parser[] = [
  {
    name: "histories",
    about: "histories as JSON, EDN and Jepsen's log: refused by line, or the same when written as JSON and as EDN",
    files: [FORMATS, EDN, "spec/linearizability/history.ts"],
    seeds: () => [
      lines(
        '{"process":1,"type":"invoke","f":"write","key":"x","value":"a","time":1}',
        '{"process":1,"type":"ok","f":"write","key":"x","value":"a","time":2}',
      ),
      Buffer.from(
        '[{"process":0,"type":"invoke","f":"cas","key":3,"value":[1,2]},\n{"process":0,"type":"fail","f":"cas","key":3,"value":[1,2],"error":"precondition"}]',
      ),
      lines(
        '{:process 4, :type :invoke, :f :append, :key "3", :value "x", :time 1000000}',
        '{:process 4, :type :info, :f :append, :key "3", :value "x", :error :timeout}',
      ),
      lines(
        "[{:process 0 :type :invoke :f :read :value [7 nil]}",
        '#jepsen.history.Op{:process 0 :type :ok :f :read :value [7 [1 "a\\u0041" \\space true]]} #_{:left out} ; note',
        "{:process :nemesis :type :info :f :start :value nil}]",
      ),
      lines(
        "INFO  jepsen.util - 4\t:invoke\t:cas\t[1 2]",
        "INFO  jepsen.util - 4\t:fail\t:cas\t[1 2]",
        "INFO  jepsen.util - :nemesis\t:info\t:start\tnil",
      ),
      lines("0 :invoke :read nil", "0 :ok :read 3"),
      lines("{:process 0 :type :invoke :f :read :value [nil nil]}", "{:process 0 :type :ok :f :read :value [3 5]}"),
      Buffer.from(
        `{"process":1,"type":"invoke","f":"write","key":"x","value":${"[".repeat(20_000)}${"]".repeat(20_000)}}`,
      ),
      Buffer.from(`{:process 1 :type :invoke :f :write :key 1 :value ${"[".repeat(20_000)}${"]".repeat(20_000)}}`),
    ],
    words: [
      ":process",
      ":type",
      ":invoke",
      ":ok",
      ":fail",
      ":info",
      ":f",
      ":value",
      ":key",
      ":error",
      ":read",
      ":write",
      "jepsen.util",
      "#_",
      "\\newline",
    ],
    check: checkHistory,
    faults: [
      {
        id: "fuzz-histories-1",
        title: "a map without its last value is taken",
        patches: [
          {
            file: EDN,
            find: 'if (closed.items.length % 2 === 1) throw new BadHistory(closed.line, "a map with a key that has no value")',
            replace: "if (closed.items.length < 0) throw new Error(closed.bracket)",
          },
          { file: EDN, find: "closed.items[i + 1] ?? null)", replace: "closed.items[i + 1] ?? [null, [i]])" },
        ],
      },
      {
        id: "fuzz-histories-2",
        title: "integers that are rounded are taken",
        patches: [
          {
            file: FORMATS,
            find: "if (Number.isInteger(value) && !Number.isSafeInteger(value))",
            replace: "if (Number.isInteger(value) && Math.abs(Number(value)) > 1e300)",
          },
        ],
      },
      {
        id: "fuzz-histories-3",
        title: "what is no JSON is no error of its own",
        patches: [
          {
            file: FORMATS,
            find: "  } catch (error) {\n    throw new BadHistory(",
            replace: "  } catch (error) {\n    if (line > 1) throw error\n    throw new BadHistory(",
          },
        ],
      },
    ],
  },
  {
    name: "traces",
    about: "traces and scenario files: refused by line, or the same script and events when written again",
    files: [FILE, FIELDS, TRACE, "interpreters/simulation/story/scenario.ts"],
    seeds: traces,
    check: checkTrace,
    faults: [
      {
        id: "fuzz-traces-1",
        title: "a length of bytes that were left out is believed",
        patches: [
          {
            file: TRACE,
            find: "if (!(length >= 0 && length <= MOST_BYTES && Number.isInteger(length)))",
            replace: "if (length < -1)",
          },
        ],
      },
      {
        id: "fuzz-traces-2",
        title: "an action without a type is not refused by name",
        patches: [
          {
            file: TRACE,
            find: "if (!isActionType(type)) return false",
            replace: "if (!isActionType(type)) throw new TypeError(String(type))",
          },
          {
            file: FILE,
            find: "      throw new TraceUnreadable(\n        `line",
            replace:
              "      if (error instanceof TypeError) throw error\n      throw new TraceUnreadable(\n        `line",
          },
        ],
      },
      {
        id: "fuzz-traces-3",
        title: "a violation is written without what it says",
        patches: [
          {
            file: "interpreters/simulation/story/scenario.ts",
            find: "JSON.stringify({ violates: name, ...rest })",
            replace: "JSON.stringify({ violates: name, at: rest.at })",
          },
        ],
      },
    ],
  },
]
