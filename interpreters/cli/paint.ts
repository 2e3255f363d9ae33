/** Numbers and colours for people, plain wherever the output is not a terminal. */
export interface Paint {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  readonly red: (text: string) => string
  readonly green: (text: string) => string
  readonly yellow: (text: string) => string
}
const wrap =
  (code: number) =>
  (text: string): string =>
    `\x1b[${code}m${text}\x1b[0m`
const plain = (text: string): string => text
export const unpainted: Paint = { bold: plain, dim: plain, red: plain, green: plain, yellow: plain }
export const paintFor = (out: NodeJS.WriteStream): Paint =>
  out.isTTY && process.env["NO_COLOR"] === undefined
    ? { bold: wrap(1), dim: wrap(2), red: wrap(31), green: wrap(32), yellow: wrap(33) }
    : unpainted

export const grouped = (value: number): string => Math.round(value).toLocaleString("en-US")
