/** Flags that several commands share. effect/cli does not print defaults, so each description ends with its own. */
import * as Option from "effect/Option"
import { Flag } from "./runtime.ts"

export const described = (text: string, fallback?: string | number): string =>
  fallback === undefined ? text : `${text} (default: ${fallback})`

const between = (name: string, text: string, least: number, most: number) =>
  Flag.Int(name).pipe(
    Flag.withDescription(text),
    Flag.filter(
      (value) => value >= least,
      (value) => `must be at least ${least}, not ${value}`,
    ),
    Flag.filter(
      (value) => value <= most,
      (value) => `must be at most ${most}, not ${value}`,
    ),
    // -0 is 0, as it is once it was written.
    Flag.map((value) => value + 0),
  )
/** The longest time that a timer supports, in milliseconds; more than enough for the other flags too. */
const mostInt = 2 ** 31 - 1
export const intFlag = (name: string, text: string, fallback: number, least = 1, most = mostInt) =>
  between(name, described(text, fallback), least, most).pipe(Flag.withDefault(fallback))
export const maybeInt = (name: string, text: string, least = Number.MIN_SAFE_INTEGER) =>
  between(name, text, least, Number.MAX_SAFE_INTEGER).pipe(Flag.optional)
export const maybeString = (name: string, text: string) =>
  Flag.String(name).pipe(Flag.withDescription(text), Flag.optional)
export const choice = <const Choices extends readonly [string, ...string[]]>(
  name: string,
  choices: Choices,
  text: string,
  fallback: NoInfer<Choices[number]>,
) => Flag.Literals(name, choices).pipe(Flag.withDescription(described(text, fallback)), Flag.withDefault(fallback))
export const maybe = <A>(option: Option.Option<A>): A | null => Option.getOrNull(option)

export const output = choice("output", ["table", "json"], "Form of the output", "table").pipe(Flag.withAlias("o"))
