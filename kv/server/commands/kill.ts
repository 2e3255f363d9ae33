/** CLIENT KILL in both forms that Redis has: by address, or by filters that must all match. */
import { err, integer } from "../../machine/reply.ts"
import type { Reply } from "../../types.ts"
import type { ClientState } from "../client.ts"
import type { Context, Words } from "../contract.ts"
import { ok } from "../wire/encode.ts"
import { naturalAt, quotedWord, textAt, wordAt } from "../words.ts"

const syntaxError = err("syntax error")
const notNumber = err("client-id should be greater than 0")
const nobody = err("No such client")

/** Client types; only the first exists here. */
const types: ReadonlySet<string> = new Set(["normal", "master", "slave", "replica", "pubsub"])
export const isType = (word: string): boolean => types.has(word)
export const unknownType = (words: Words, at: number): Reply => err(`Unknown client type '${quotedWord(words, at)}'`)

type Fits = (client: ClientState) => boolean

export const clientKill = ({ host, client: self }: Context, words: Words): Reply => {
  if (words.length === 3) {
    const address = textAt(words, 2)
    if (self.address === address) self.leaving = true
    return host.kill((client) => client !== self && client.address === address) > 0 || self.leaving ? ok : nobody
  }
  const filters: Fits[] = []
  let spareSelf = true
  for (let at = 2; at < words.length; at += 2) {
    if (words[at + 1] === undefined) return syntaxError
    const value = textAt(words, at + 1)
    const word = wordAt(words, at + 1)
    switch (wordAt(words, at)) {
      case "id": {
        const id = naturalAt(words, at + 1)
        if (id === null || id === 0) return notNumber
        filters.push((client) => client.id === id)
        break
      }
      case "addr":
        filters.push((client) => client.address === value)
        break
      case "laddr":
        filters.push((client) => client.localAddress === value)
        break
      case "user":
        if (host.users === null && value !== "default") return err(`No such user '${quotedWord(words, at + 1)}'`)
        filters.push(({ user }) => user?.name === value)
        break
      case "type":
        if (!isType(word)) return unknownType(words, at + 1)
        filters.push(() => word === "normal")
        break
      case "skipme":
        if (word !== "yes" && word !== "no") return syntaxError
        spareSelf = word === "yes"
        break
      default:
        return syntaxError
    }
  }
  const fits: Fits = (client) => filters.every((filter) => filter(client))
  const own = !spareSelf && fits(self)
  // The client's own connection closes after this reply.
  if (own) self.leaving = true
  return integer(host.kill((client) => client !== self && fits(client)) + (own ? 1 : 0))
}
