/** Options of the project's own commands: --help explains them, and errors are shown beside it. */
import { parseArgs, type ParseArgsConfig } from "node:util"

type Options = NonNullable<ParseArgsConfig["options"]>
interface Read<T extends Options> {
  readonly values: ReturnType<
    typeof parseArgs<{ readonly options: T; readonly strict: true; readonly allowPositionals: true }>
  >["values"]
  readonly positionals: readonly string[]
  /** Ends the command with exit code 2. */
  readonly complain: (text: string) => never
  /** The value of an option as a number from `least` on. */
  readonly number: (name: string & keyof T, least: number) => number
}

/**
 * `things`: the arguments besides options, or null if there are none. Ends the command if they are wrong, or if --help
 * was given.
 */
export const readOptions = <const T extends Options>(
  usage: string,
  options: T,
  things: string | null = null,
): Read<T> => {
  const complain = (text: string): never => {
    console.error(`${text}\n\n${usage}`)
    process.exit(2)
  }
  if (process.argv.includes("--help") || process.argv.includes("-h")) {
    console.log(usage)
    process.exit(0)
  }
  const parsed = (): ReturnType<
    typeof parseArgs<{ readonly options: T; readonly strict: true; readonly allowPositionals: true }>
  > => {
    try {
      return parseArgs({ options, strict: true, allowPositionals: true })
    } catch (error) {
      return complain(error instanceof Error ? error.message : String(error))
    }
  }
  const { values, positionals } = parsed()
  const [first] = positionals
  if (things === null && first !== undefined) complain(`${first}: only options are taken`)
  const number = (name: string & keyof T, least: number): number => {
    const text = String((values as Readonly<Record<string, unknown>>)[name])
    const value = Number(text)
    return text.trim() !== "" && Number.isFinite(value) && value >= least
      ? value
      : complain(`--${name} ${text}: a number from ${least} on is needed`)
  }
  return { values, positionals, complain, number }
}
