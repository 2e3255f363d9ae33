/** A history as a drawing: a lane per process, a bar per operation. SVG, alone or in a page that needs nothing else. */
import type { Verdict } from "./check.ts"
import type { Model, Operation } from "./model.ts"
import { describerOf, verdictInWords } from "./words.ts"

/** More bars than this cannot be read; those nearest to the explained operations are kept. */
const most = 150
const laneHeight = 34
const barHeight = 24
const left = 96
const top = 30
/** The width of a letter of 12 px in the monospaced font. */
const letter = 7.25

type Role = "culprit" | "core" | "loose" | "other"

interface Bar<Input, Output> {
  readonly operation: Operation<Input, Output>
  readonly role: Role
  /** The position in the order that was found, from 1. */
  readonly order: number | undefined
  readonly label: string
  readonly title: string
}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")
const cut = (text: string): string => (text.length > 48 ? `${text.slice(0, 30)}…${text.slice(-16)}` : text)

const light = {
  ink: "#1d2330",
  paper: "#ffffff",
  faint: "#c9ced8",
  bar: "#e8ecf3",
  core: "#cfe0ff",
  bad: "#ffd9d2",
  edge: "#b3261e",
  line: "#56607a",
  focus: "#0b57d0",
}
const dark = {
  ink: "#e6e9f0",
  paper: "#14171e",
  faint: "#363d4c",
  bar: "#252b38",
  core: "#23395d",
  bad: "#5a211b",
  edge: "#ff8a7a",
  line: "#98a3bd",
  focus: "#8ab4ff",
}
/** Literal colours, because programs that draw SVG outside of a browser do not support CSS variables. */
const colours = ({ ink, paper, faint, bar, core, bad, edge, line, focus }: typeof light): string => `
svg.history { background: ${paper} }
svg.history .paper { fill: ${paper} }
svg.history text { fill: ${ink} }
svg.history .lane { stroke: ${faint} }
svg.history .bar rect { fill: ${bar}; stroke: ${line} }
svg.history .core rect { fill: ${core} }
svg.history .culprit rect { fill: ${bad}; stroke: ${edge} }
svg.history .open { stroke: ${line} }
svg.history .bar:focus rect { stroke: ${focus} }
.page { background: ${paper}; color: ${ink} }
.drawing { border: 1px solid ${faint} }
.drawing:focus-visible { outline: 3px solid ${focus} }`
const style = `${colours(light)}
@media (prefers-color-scheme: dark) {${colours(dark)}
}
svg.history { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
svg.history .core rect { stroke-width: 2.5 }
svg.history .loose rect { stroke-dasharray: 4 3 }
svg.history .culprit rect { stroke-width: 3.5 }
svg.history .culprit text { font-weight: bold }
svg.history .open { stroke-dasharray: 2 3; fill: none }
svg.history .bar:focus { outline: none }
svg.history .bar:focus rect { stroke-width: 4.5 }
`

const barsOf = <State, Input, Output>(
  verdict: Verdict<State, Input, Output>,
  model: Model<State, Input, Output>,
): readonly Bar<Input, Output>[] => {
  const describe = describerOf(model)
  const bar = (operation: Operation<Input, Output>, role: Role, order: number | undefined): Bar<Input, Output> => {
    const what = describe.operation(operation)
    const told = {
      culprit: "has no place",
      core: "part of what is impossible",
      loose: "may have taken effect at any time after its invocation, or never",
      other: "",
    }[role]
    const label = `${order === undefined ? "" : `${order}. `}${role === "culprit" ? "✗ " : ""}${cut(what)}`
    return {
      operation,
      role,
      order,
      label,
      title: [
        `process ${operation.process}: ${what}`,
        describe.place(operation),
        ...(order === undefined ? [] : [`number ${order} in the order that was found`]),
        ...(told === "" ? [] : [told]),
      ].join("; "),
    }
  }
  if (verdict.verdict === "unknown") return []
  if (verdict.verdict === "linearizable")
    return verdict.orders
      .flatMap(({ order }) => order.map((operation, i) => bar(operation, "other", i + 1)))
      .sort((a, b) => a.operation.invoked - b.operation.invoked)
      .slice(0, most)
  const { core, coreCulprit, prefix, operations, culprit } = verdict.explanation
  const order = new Map(prefix.map((operation, i) => [operation.invoked, i + 1] as const))
  const roles = new Map(
    core.map(
      ({ operation, firm }) =>
        [
          operation,
          operation === coreCulprit ? ("culprit" as const) : firm ? ("core" as const) : ("loose" as const),
        ] as const,
    ),
  )
  const failing = culprit ?? coreCulprit
  roles.set(failing, "culprit")
  // Everything that is impossible, then the operations shortly before the one that fails.
  const end = failing.returned ?? Infinity
  // An unknown operation that took no part is left out.
  const near = operations
    .filter(
      (operation) =>
        operation.invoked <= end &&
        !roles.has(operation) &&
        (operation.returned !== null || order.has(operation.invoked)),
    )
    .sort((a, b) => (b.returned ?? Infinity) - (a.returned ?? Infinity))
  const begin = Math.min(...[...roles].flatMap(([{ invoked }, role]) => (role === "loose" ? [] : [invoked])))
  const context = near
    .filter(({ returned, invoked }) => (returned ?? Infinity) >= begin || invoked >= begin)
    .slice(0, Math.max(0, Math.min(40, most - roles.size)))
  const numbers = new Map(
    [...roles.keys(), ...context]
      .flatMap((operation) => (order.has(operation.invoked) ? [operation] : []))
      .sort((a, b) => (order.get(a.invoked) ?? 0) - (order.get(b.invoked) ?? 0))
      .map((operation, i) => [operation, i + 1] as const),
  )
  return [
    ...[...roles]
      .slice(0, most)
      .map(([operation, role]) => bar(operation, role, role === "culprit" ? undefined : numbers.get(operation))),
    ...context.map((operation) => bar(operation, "other", numbers.get(operation))),
  ].sort((a, b) => a.operation.invoked - b.operation.invoked)
}

const draw = <Input, Output>(bars: readonly Bar<Input, Output>[], title: string): string => {
  const processes = [...new Set(bars.map(({ operation }) => operation.process))].sort((a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : 1,
  )
  // Every event has a column, as wide as the labels need.
  const times = [
    ...new Set(
      bars.flatMap(({ operation: { invoked, returned } }) => (returned === null ? [invoked] : [invoked, returned])),
    ),
  ].sort((a, b) => a - b)
  const column = new Map(times.map((time, i) => [time, i]))
  const width = Array.from({ length: times.length + 1 }, () => 14)
  // An operation without an end is drawn until its process does something else.
  const spans = bars.map((bar, i) => {
    const { process, invoked, returned } = bar.operation
    const next =
      returned === null
        ? bars.slice(i + 1).find(({ operation }) => operation.process === process)?.operation.invoked
        : returned
    return { bar, from: column.get(invoked) ?? 0, to: next === undefined ? times.length : (column.get(next) ?? 0) }
  })
  for (const { bar, from, to } of spans.toSorted((a, b) => a.to - b.to)) {
    const lacks = bar.label.length * letter + 16 - width.slice(from, to).reduce((sum, one) => sum + one, 0)
    if (lacks > 0) width[to - 1] = (width[to - 1] ?? 0) + lacks
  }
  const x: number[] = [left]
  for (const one of width) x.push((x.at(-1) ?? 0) + one)
  const right = Math.ceil((x.at(-1) ?? left) + 20)
  const height = top + processes.length * laneHeight + 44
  const lanes = processes.map((process, i) => {
    const y = top + i * laneHeight + laneHeight / 2
    return {
      name: `<text x="8" y="${y + 4}">process ${escape(String(process))}</text>`,
      line: `<line class="lane" x1="${left}" x2="${right - 12}" y1="${y}" y2="${y}"/>`,
    }
  })
  const drawn = spans.map(({ bar, from, to }) => {
    const y = top + processes.indexOf(bar.operation.process) * laneHeight + (laneHeight - barHeight) / 2
    const x1 = x[from] ?? left
    const x2 = Math.max(x1 + 10, x[to] ?? right)
    // The bar of an operation without an end has no right edge.
    const shape =
      bar.operation.returned === null
        ? `<rect x="${x1}" y="${y}" width="${x2 - x1}" height="${barHeight}" rx="4" style="stroke: none"/><path class="open" d="M${x2} ${y}H${x1 + 4}q-4 0 -4 4V${y + barHeight - 4}q0 4 4 4H${x2}"/>`
        : `<rect x="${x1}" y="${y}" width="${x2 - x1}" height="${barHeight}" rx="4"/>`
    return `<g class="bar ${bar.role}" tabindex="0" role="img" aria-label="${escape(bar.title)}"><title>${escape(bar.title)}</title>${shape}<text x="${x1 + 7}" y="${y + 16}">${escape(bar.label)}</text></g>`
  })
  return `<svg class="history" xmlns="http://www.w3.org/2000/svg" width="${right}" height="${height}" viewBox="0 0 ${right} ${height}" role="group" aria-label="${escape(title)}">
<style>${style}</style>
<rect class="paper" width="100%" height="100%"/>
${lanes.map(({ line }) => line).join("\n")}
${drawn.join("\n")}
<g class="names"><rect class="paper" width="${left - 6}" height="${height - 44}"/>
<text x="8" y="18">${escape(title)}</text>
${lanes.map(({ name }) => name).join("\n")}
<text x="8" y="${height - 26}">time goes right, each event a step; numbers: the order found; ✗: has no place; thick edge: impossible together;</text>
<text x="8" y="${height - 8}">dashed edge: may have taken effect at any later time, or never; no right edge: never seen to return</text></g>
</svg>
`
}

const titleOf = <State, Input, Output>(verdict: Verdict<State, Input, Output>): string =>
  verdict.verdict === "not"
    ? `Not linearizable${verdict.explanation.partition === "" ? "" : `: key ${verdict.explanation.partition}`}`
    : verdict.verdict === "linearizable"
      ? "Linearizable"
      : "Unknown"

/**
 * An SVG that shows the reasons for a verdict: for a refutation the impossible part and its neighbours, otherwise the
 * order that was found (its first 150 operations).
 */
export const drawSvg = <State, Input, Output>(
  verdict: Verdict<State, Input, Output>,
  model: Model<State, Input, Output>,
): string => draw(barsOf(verdict, model), titleOf(verdict))

/** The same in a page with the explanation in words. The arrow keys move from bar to bar. */
export const drawHtml = <State, Input, Output>(
  verdict: Verdict<State, Input, Output>,
  model: Model<State, Input, Output>,
): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(titleOf(verdict))}</title>
<style>
body { margin: 0 }
.page { font: 15px/1.5 system-ui, sans-serif; padding: 24px; min-height: 100vh; box-sizing: border-box }
h1 { font-size: 20px; margin: 0 0 12px }
.drawing { overflow-x: auto; border-radius: 6px }
pre { white-space: pre-wrap; font-size: 13px }
#told { min-height: 3em; font-weight: 600 }
</style>
</head>
<body><main class="page">
<h1>${escape(titleOf(verdict))}</h1>
<div class="drawing" tabindex="0" aria-label="The history, drawn; it may be wider than the window">${draw(barsOf(verdict, model), titleOf(verdict))}</div>
<p id="told" aria-live="polite">Tab or the arrow keys go from operation to operation.</p>
<pre>${escape(verdictInWords(verdict, model).join("\n"))}</pre>
</main>
<script>
const bars = [...document.querySelectorAll("g.bar")]
const told = document.getElementById("told")
const drawing = document.querySelector(".drawing")
const culprit = document.querySelector("g.culprit")
const names = document.querySelector(".names")
drawing.addEventListener("scroll", () => names.setAttribute("transform", "translate(" + drawing.scrollLeft + " 0)"))
if (culprit !== null) drawing.scrollLeft = culprit.getBoundingClientRect().right - drawing.getBoundingClientRect().left - drawing.clientWidth + 40
for (const bar of bars) {
  const tell = () => { told.textContent = bar.getAttribute("aria-label") }
  bar.addEventListener("focus", tell)
  bar.addEventListener("mouseenter", tell)
}
addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
  const at = bars.indexOf(document.activeElement)
  if (step === undefined || bars.length === 0 || (at < 0 && document.activeElement !== drawing)) return
  event.preventDefault()
  const next = bars[at < 0 ? 0 : Math.min(bars.length - 1, Math.max(0, at + step))]
  next.focus({ preventScroll: true })
  next.scrollIntoView({ block: "nearest", inline: "center" })
})
</script>
</body>
</html>
`
