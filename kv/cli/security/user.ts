/** `stepraft user hash`: a line for the file of users. */
import { randomBytes } from "node:crypto"
import { exitCodes, failure } from "../../../interpreters/cli/runtime.ts"
import { passwordHash } from "../../server/users/hash.ts"
import type { UserRole } from "../../server/users/roles.ts"

export type PasswordInput = Pick<NodeJS.ReadStream, "isTTY" | "setRawMode"> & NodeJS.ReadableStream
const ENDS: ReadonlySet<string> = new Set(["\r", "\n", "\u0004"])

/** Reads the next line of standard input; a terminal does not show it. */
const askPassword = (stdin: PasswordInput, prompt: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const hidden = stdin.isTTY
    let text = ""
    const end = (error: Error | null): void => {
      if (hidden) stdin.setRawMode(false)
      stdin.off("data", take).off("end", finish).pause()
      if (hidden) process.stderr.write("\n")
      if (error === null) resolve(text)
      else reject(error)
    }
    const finish = (): void => end(null)
    const take = (chunk: Buffer): void => {
      for (const character of chunk.toString("utf8")) {
        if (character === "\u0003") return end(failure("", exitCodes.interrupted))
        if (ENDS.has(character)) return finish()
        text = character === "\u007f" && hidden ? text.slice(0, -1) : text + character
      }
    }
    if (hidden) {
      process.stderr.write(prompt)
      stdin.setRawMode(true)
    }
    // Paused by the question before.
    stdin.on("data", take).once("end", finish).resume()
  })

export const hash = async (
  name: string,
  role: UserRole,
  generate: boolean,
  stdin: PasswordInput = process.stdin,
): Promise<void> => {
  if (!/^[!-~]{1,128}$/.test(name) || name.startsWith("#"))
    throw failure(
      "a user's name has 1 to 128 printable ASCII characters without blanks, and does not begin with #",
      exitCodes.usage,
    )
  const password = generate ? randomBytes(18).toString("base64url") : await askPassword(stdin, "Password: ")
  if (stdin.isTTY && !generate && password !== "" && (await askPassword(stdin, "Once more: ")) !== password)
    throw failure("that was another one. Nothing was made: try again", exitCodes.failed)
  if (password === "") throw failure("no password was given on standard input", exitCodes.usage)
  if (generate) process.stderr.write(`password: ${password}\n`)
  process.stdout.write(`${name} ${role} ${await passwordHash(Buffer.from(password))}\n`)
}
