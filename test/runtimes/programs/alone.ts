/** The tests of one process or one web page by itself. A page sends the result to its server. */
import { hashes } from "./hashes.js"
import { overPorts } from "./ports.js"

const answer = async (): Promise<string> => {
  try {
    return JSON.stringify({ ...hashes(), ports: await overPorts() })
  } catch (error) {
    return JSON.stringify({ failed: error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error) })
  }
}
const found = await answer()
const { document, process } = globalThis as {
  readonly document?: unknown
  readonly process?: { readonly exit: (code: number) => void }
}
if (document === undefined) {
  console.log(found)
  process?.exit(0)
} else await fetch("/answer", { method: "POST", body: found })
