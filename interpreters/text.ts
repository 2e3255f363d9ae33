/** Makes text from elsewhere safe for a log, an error or a status: nothing in it moves the cursor or hides a line. */

/** Control characters of both sets, line and paragraph separators, and characters that change the writing direction. */
// oxlint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g

const hex = (character: string): string => {
  const code = character.charCodeAt(0)
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`
}
export const escaped = (text: string): string => text.replace(UNSEEN, hex)

/** The text with unprintable characters escaped, and at most `most` characters of the original. */
export const shown = (text: string, most = 200): string =>
  text.length <= most ? escaped(text) : `${escaped(text.slice(0, most))}… (${text.length - most} more characters)`

/** True if `shown` would not change the text. */
export const isPlainText = (text: string, most: number): boolean => text.length <= most && escaped(text) === text

/**
 * A valid name of a member. It must not be a property of every object (constructor): members are kept by name in plain
 * objects.
 */
export const isMemberName = (text: string): boolean =>
  /^[A-Za-z0-9._-]{1,64}$/.test(text) && !(text in Object.prototype)
