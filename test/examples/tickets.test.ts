/**
 * A user's state machine with a mistake: the mistake is found, shrunk, and opened in the debugger at the command that
 * shows it, in the user's words.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Writable } from "node:stream"
import * as fc from "fast-check"
import { afterEach, expect, test, vi } from "vitest"
import { debug } from "../../spec/cli/debug.ts"
import { worldProperty, WorldPropertyFailed, type MachinePropertyOptions } from "../../spec/properties/index.ts"
import { describe, invariant, machine, type Command, type State } from "./tickets.ts"

const folder = mkdtempSync(join(tmpdir(), "stepraft-tickets-"))
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true, force: true })
})

const who = fc.constantFrom("ann", "bob", "cleo")
const options: MachinePropertyOptions<State, Command, boolean> = {
  machine,
  invariant,
  describe,
  commands: fc.record({ op: fc.constantFrom("buy", "cancel"), by: who }),
  module: new URL("./tickets.ts", import.meta.url),
  file: join(folder, "failure.ndjson"),
  seed: 1,
}
const failureOf = (more: Partial<typeof options> = {}): WorldPropertyFailed => {
  try {
    worldProperty({ ...options, ...more })
  } catch (error) {
    if (error instanceof WorldPropertyFailed) return error
    throw error
  }
  throw new Error("it was to fail")
}

test("two commands are left of it, one line runs it again, and one command opens it", async () => {
  const { failed, script, message, command, file, path } = failureOf()
  expect(failed.violation).toBe("noSeatIsLost")
  expect(script.actions.filter(({ type }) => type === "propose")).toHaveLength(2)
  expect(script.actions.length).toBeLessThanOrEqual(4)
  for (const told of [
    "there were 3 seats, and 2 are left of them",
    "ann buys a seat (entry 3) → yes",
    'state before  {"free":2,"sold":{"ann":true}}',
    `seed 1, path ${JSON.stringify(path)}`,
  ])
    expect(message).toContain(told)
  expect(failureOf({ path }).script).toEqual(script)
  expect(command).toBe(`npx stepraft debug ${file} --machine ./test/examples/tickets.ts`)

  let told = ""
  vi.spyOn(process, "stdout", "get").mockReturnValue(
    new Writable({
      write: (chunk: Buffer, _, done) => ((told += chunk.toString()), done()),
    }) as unknown as typeof process.stdout,
  )
  await debug({
    file,
    seed: 1,
    profile: null,
    nodes: 3,
    refine: false,
    machine: "test/examples/tickets.ts",
    check: null,
    commands: 'frame; back; propose n1 {"op":"cancel","by":"bob"}',
  })
  for (const part of [
    "noSeatIsLost is violated here",
    "apply 3·t1 ann buys a seat",
    "3·t1 ann buys a seat → yes",
    ".state.free: 2 → 1",
    "38 invariants hold up to here",
    "a client proposes bob gives a seat back",
  ])
    expect(told).toContain(part)
})

test("without the mistake nothing is found", () => {
  const mended: typeof machine = {
    ...machine,
    apply: (state, command, context) =>
      command.op === "buy" && command.by in state.sold ? false : machine.apply(state, command, context),
  }
  worldProperty({ ...options, machine: mended, numRuns: 5 })
})
