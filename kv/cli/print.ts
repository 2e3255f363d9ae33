/** The output of the offline commands: lines of a name and a text, or one line of JSON. */
export type OutputFormat = "table" | "json"
export const countText = (value: number): string => value.toLocaleString("en")
export const timeText = (time: number): string => (time === 0 ? "at no time yet" : new Date(time).toISOString())
export const printRecord = (
  output: OutputFormat,
  value: unknown,
  lines: readonly (readonly [name: string, text: string])[],
): void => {
  const width = Math.max(...lines.map(([name]) => name.length))
  process.stdout.write(
    output === "json"
      ? `${JSON.stringify(value)}\n`
      : lines.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join(""),
  )
}
