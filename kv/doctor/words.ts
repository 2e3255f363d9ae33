/** Names, times and bytes in the doctor's sentences. */
export const listText = (names: readonly string[]): string =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`
export const one = (names: readonly string[], single: string, several: string): string =>
  names.length === 1 ? single : several
export const span = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)
export const bytes = (count: number): string =>
  count < 1e6 ? `${Math.round(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`
export const unique = (names: readonly string[]): readonly string[] => [...new Set(names)]
/** The first sentence of a text. */
export const brief = (text: string): string => text.split(/\.(?:\s|$)/u)[0] ?? text
export const hasMajority = (of: readonly string[], all: readonly string[]): boolean =>
  all.filter((name) => of.includes(name)).length > all.length / 2
