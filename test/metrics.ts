/** Parses the answer of /metrics strictly: anything that Prometheus would refuse or misread is an error. */

/** By name and labels, as written. */
export type Samples = ReadonlyMap<string, number>

const HELP = /^# HELP ([a-zA-Z_:][\w:]*) .+$/
const TYPE = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram)$/
const SAMPLE =
  /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (NaN|[+-]Inf|-?[\d.]+(?:e[+-]?\d+)?)$/

export const readMetrics = (text: string): Samples => {
  const samples = new Map<string, number>()
  const families = new Set<string>()
  let family = ""
  let type = ""
  if (!text.endsWith("\n")) throw new Error("the last line does not end")
  for (const line of text.slice(0, -1).split("\n")) {
    const help = HELP.exec(line)?.[1]
    const typed = TYPE.exec(line)
    if (help !== undefined) {
      if (families.has(help)) throw new Error(`${help} comes twice`)
      families.add(help)
      family = help
      type = ""
    } else if (typed !== null) {
      if (typed[1] !== family) throw new Error(`TYPE of ${typed[1]} under ${family}`)
      type = typed[2] ?? ""
    } else {
      const [, name = "", labels, value = ""] = SAMPLE.exec(line) ?? []
      if (name === "" || type === "") throw new Error(`not a sample: ${line}`)
      const own = type === "histogram" ? [`${family}_bucket`, `${family}_sum`, `${family}_count`] : [family]
      if (!own.includes(name)) throw new Error(`${name} stands under ${family}`)
      const key = labels === undefined ? name : `${name}{${labels}}`
      if (samples.has(key)) throw new Error(`${key} comes twice`)
      samples.set(key, Number(value.replace("Inf", "Infinity")))
    }
  }
  return samples
}
/** NaN if there is none. */
export const valueOf = (samples: Samples, key: string): number => samples.get(key) ?? Number.NaN
