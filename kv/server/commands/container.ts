/**
 * Families of commands: CLIENT LIST, CONFIG GET, … Each subcommand is declared with its syntax and purpose next to its
 * code.
 */
import { help } from "../../machine/reply.ts"
import { wrongArity } from "../../machine/index.ts"
import type { Reply } from "../../types.ts"
import type { ServerHandler, KnownCommand, Subcommand, Words } from "../contract.ts"
import { arityOf } from "./syntax.ts"
import { arityFits, serverCommand, unknownSubcommand, wordAt } from "../words.ts"

interface Sub extends Omit<Subcommand, "name"> {
  readonly does: ServerHandler
}

export const sub = (syntax: string, summary: string, does: ServerHandler): Sub => ({
  syntax,
  summary,
  does,
  arity: arityOf(syntax, 2),
})

/** The HELP subcommand of a family. */
export const helpOf = (name: string, subcommands: readonly Subcommand[]): Reply =>
  help(
    name.toUpperCase(),
    Object.fromEntries(
      subcommands
        .filter((one) => one.name !== "help")
        .map((one) => [`${one.name.toUpperCase()} ${one.syntax}`.trimEnd(), one.summary]),
    ),
  )

/** What is wrong with the subcommand; null: nothing. */
export const wrongMember = (name: string, subcommands: readonly Subcommand[], words: Words): Reply | null => {
  const word = wordAt(words, 1)
  const found = subcommands.find((one) => one.name === word)
  if (found === undefined) return unknownSubcommand(name, words[1])
  return arityFits(found, words) ? null : wrongArity(`${name}|${word}`)
}

export const container = (
  name: string,
  subs: Readonly<Record<string, Sub>>,
  more: Partial<Omit<KnownCommand, "name" | "arity" | "does">> = {},
): KnownCommand => {
  const all: Readonly<Record<string, Sub>> = { ...subs, help: sub("", "This list.", () => helpOf(name, subcommands)) }
  const subcommands: readonly Subcommand[] = Object.entries(all).map(([word, { arity, syntax, summary }]) => ({
    name: word,
    arity,
    syntax,
    summary,
  }))
  const find = (words: Words): Sub | undefined => {
    const word = wordAt(words, 1)
    return Object.hasOwn(all, word) ? all[word] : undefined
  }
  return serverCommand(
    name,
    -2,
    (context, words) => find(words)?.does(context, words) ?? unknownSubcommand(name, words[1]),
    { wrong: (words) => wrongMember(name, subcommands, words), subcommands, ...more },
  )
}
