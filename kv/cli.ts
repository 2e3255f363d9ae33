#!/usr/bin/env node
/** The `stepraft` program. Only what decides how it runs is loaded here, because every command pays the start-up time. */
import { fileURLToPath } from "node:url"

/**
 * Commands that run for long or measure something: under a compiling loader they would be slow, and would measure the
 * loader.
 */
const heavy = new Set(["cluster", "serve", "bench", "simulate"])
const self = fileURLToPath(import.meta.url)
const [command = "", ...words] = process.argv.slice(2)
const runs = !words.includes("--help") && !words.includes("-h")
if (self.endsWith(".ts") && heavy.has(command) && runs) {
  const { relaunch } = await import("./cli/serve/relaunch.ts")
  await relaunch(self)
} else if (command !== "serve" || !runs || !(await import("./cli/serve/direct.ts")).serveDirectly(words)) {
  const { main } = await import("./cli/main.ts")
  main(self)
}
