#!/usr/bin/env node
/** The `stepraft` program. Nothing is loaded here beyond what decides where it runs: start-up time is paid by every command. */
import { fileURLToPath } from "node:url"

/** Commands that run long or measure: under a loader that compiles as it goes they would be slow, and measure the loader. */
const heavy = new Set(["cluster", "serve", "bench", "simulate"])
const self = fileURLToPath(import.meta.url)
const [command = ""] = process.argv.slice(2)
if (self.endsWith(".ts") && heavy.has(command) && !process.argv.includes("--help") && !process.argv.includes("-h")) {
  const { relaunch } = await import("./cli/relaunch.ts")
  await relaunch(self)
} else {
  const { main } = await import("./cli/main.ts")
  main(self)
}
