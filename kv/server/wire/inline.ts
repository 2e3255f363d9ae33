/** Inline commands: one line of words, quoted as in redis-cli, for people with telnet. */

const space = 0x20
const backslash = 0x5c
const doubleQuote = 0x22
const singleQuote = 0x27
const escapes: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, b: 0x08, a: 0x07 }

const isBlank = (byte: number | undefined): boolean => byte === space || byte === 0x09

/** The words of a line, or null if its quotes do not balance. */
export const splitInline = (line: Buffer): Buffer[] | null => {
  const words: Buffer[] = []
  let at = 0
  for (;;) {
    while (at < line.length && isBlank(line[at])) at++
    if (at >= line.length) return words
    const word: number[] = []
    while (at < line.length && !isBlank(line[at])) {
      const byte = line[at] ?? 0
      if (byte !== doubleQuote && byte !== singleQuote) {
        word.push(byte)
        at++
        continue
      }
      at = byte === doubleQuote ? doubleQuoted(line, at + 1, word) : singleQuoted(line, at + 1, word)
      // A closing quote ends the word: `"a"b` is an error, not a word.
      if (at < 0 || (at < line.length && !isBlank(line[at]))) return null
    }
    words.push(Buffer.from(word))
  }
}

const doubleQuoted = (line: Buffer, from: number, word: number[]): number => {
  for (let at = from; at < line.length; at++) {
    const byte = line[at] ?? 0
    if (byte === doubleQuote) return at + 1
    if (byte !== backslash || at + 1 >= line.length) {
      word.push(byte)
      continue
    }
    const escaped = line.toString("latin1", at + 1, at + 4)
    if (/^x[0-9a-f]{2}/iu.test(escaped)) {
      word.push(Number.parseInt(escaped.slice(1, 3), 16))
      at += 3
    } else {
      word.push(escapes[escaped.slice(0, 1)] ?? line[at + 1] ?? 0)
      at++
    }
  }
  return -1
}

const singleQuoted = (line: Buffer, from: number, word: number[]): number => {
  for (let at = from; at < line.length; at++) {
    const byte = line[at] ?? 0
    if (byte === singleQuote) return at + 1
    if (byte === backslash && line[at + 1] === singleQuote) {
      word.push(singleQuote)
      at++
    } else word.push(byte)
  }
  return -1
}
