/** One runtime by itself: hashes of core and simulation, and three replicas over MessagePorts. */
import { spawn } from "node:child_process"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { launch, temporaryFolder, until, within } from "../cluster.ts"
import { bundle, type App } from "./app.ts"
import type { Hashes } from "./programs/hashes.ts"
import type { Counted } from "./programs/ports.ts"
import type { Runtime } from "./tools.ts"

export type Alone = Hashes & { readonly ports: Counted }
const LIMIT_MS = 180_000

const read = (text: string): Alone => {
  const found = JSON.parse(text) as Alone | { readonly failed: string }
  if ("failed" in found) throw new Error(found.failed)
  return found
}

const inProcess = async ({ command: [file = "", ...words] }: Runtime, app: App): Promise<Alone> => {
  const process = launch(file, [...words, app.program("alone")], {}, app.folder)
  const code = await within(LIMIT_MS, process.exited)
  process.signal("SIGKILL")
  const line = process
    .output()
    .split("\n")
    .find((text) => text.startsWith("{"))
  if (line === undefined)
    throw new Error(`it ended with ${code ?? "nothing, in time"} and said: ${process.output().slice(-2000)}`)
  return read(line)
}

/** A page that is served once, and posts its results. */
const inPage = async ({ command: [file = ""] }: Runtime, app: App): Promise<Alone> => {
  const code = await bundle(app)
  let answer: string | null = null
  const server = createServer((request, response) => {
    if (request.method === "POST") {
      let text = ""
      request
        .setEncoding("utf8")
        .on("data", (part: string) => (text += part))
        .on("end", () => {
          answer = text
          response.end()
        })
    } else if (request.url === "/alone.js") response.setHeader("content-type", "text/javascript").end(code)
    else
      response
        .setHeader("content-type", "text/html")
        .end(`<!doctype html><script type="module" src="/alone.js"></script>`)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const profile = temporaryFolder("stepraft-chromium-")
  const browser = spawn(
    file,
    [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      `--user-data-dir=${profile}`,
      `http://127.0.0.1:${port}/`,
    ],
    { stdio: "ignore", detached: true },
  )
  try {
    return read(await until("the page has answered", () => answer, LIMIT_MS))
  } finally {
    // With all its child processes.
    if (browser.pid !== undefined) process.kill(-browser.pid, "SIGKILL")
    server.close()
  }
}

export const alone = (runtime: Runtime, app: App): Promise<Alone> =>
  runtime.name === "Chromium" ? inPage(runtime, app) : inProcess(runtime, app)
