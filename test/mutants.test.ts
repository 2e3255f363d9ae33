/** The list of seeded bugs must not rot: each fits the present sources, and none of the known ones is forgotten. */
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { parseSync } from "vite"
import { describe, expect, test } from "vitest"
import { readTraceFile } from "../interpreters/debugger/index.ts"
import { checkScript } from "../spec/index.ts"
import { longTest } from "./long.ts"
import { seeded } from "./mutants/all.ts"
import { layers } from "./mutants/layers.ts"
import { applies, mutate, partsOf } from "./mutants/mutant.ts"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const source = (file: string): string => readFileSync(join(root, file), "utf8")

/** The bugs of other implementations that ours must not have, by family. */
const KNOWN = [
  "E1 E2 E4 E5 E7 E8 E10 E11",
  "V1 V2 V4 V5",
  "L1 L2 L4 L5 L7 L8 L10 L11 L13",
  "C1 C2 C4 C5 C7 C8",
  "S1 S2 S4 S5 S7 S8 S10",
  "M1 M2 M4 M5 M7 M8 M10",
  "R1 R2 R4 R5 R7 R8",
  "K1 K2 K4 K5 K7 K8",
  "D1 D2 D4 D5 D7",
  "T1 T2 T4 T5",
  "G1 G2 G4 G5 G7 G8",
  "P1 P2 P3 P4 P5",
].flatMap((family) => family.split(" ").map((id) => `bug-${id}`))

describe("the seeded bugs", () => {
  test("every known bug is seeded, or says why it cannot be; and ten of our own are", () => {
    const ids = new Set(seeded.map(({ id }) => id))
    expect(ids.size).toBe(seeded.length)
    expect(KNOWN.filter((id) => !ids.has(id))).toEqual([])
    expect([...ids].filter((id) => id.startsWith("own-")).length).toBeGreaterThanOrEqual(10)
    const variants = [...ids].filter((id) => !id.startsWith("own-") && !KNOWN.includes(id))
    expect(variants.filter((id) => !KNOWN.includes(id.slice(0, -1)))).toEqual([])
  })

  test.each(seeded.filter(applies).map((mutant) => [mutant.id, mutant] as const))(
    "%s fits the sources, what it makes of them is a program, and layers look at it",
    (_, mutant) => {
      const parts = partsOf(mutant)
      expect(layers.filter(({ about }) => about.some((part) => parts.has(part))).length).toBeGreaterThan(1)
      for (const [file, text] of mutate(mutant, source)) {
        const { errors } = parseSync(file, text)
        expect(errors).toEqual([])
        expect(text).not.toBe(source(file))
      }
    },
  )

  longTest(
    "the command that a kill names opens its shrunk world at the violation; without the bug nothing is wrong in that world",
    async () => {
      const out = mkdtempSync(join(tmpdir(), "stepraft-debug-"))
      try {
        const { stdout: told } = await promisify(execFile)(
          "node_modules/.bin/tsx",
          [
            "test/mutants/main.ts",
            "--debug",
            "bug-C1",
            "--layer",
            "invariants",
            "--commands",
            "back; show n1",
            "--out",
            out,
          ],
          { cwd: root, encoding: "utf8" },
        )
        expect(told).toContain("NoCommitByCounting violated")
        expect(told).toContain("it is violated here")
        expect(told).toContain("> back\n── frame")
        const { script, violation } = readTraceFile(join(out, "bug-C1.invariants.ndjson"))
        expect(violation?.name).toBe("NoCommitByCounting")
        expect(script.actions.length).toBeLessThanOrEqual(25)
        expect(checkScript(script, { liveness: false })).toMatchObject({ ok: true })
      } finally {
        rmSync(out, { recursive: true, force: true })
      }
    },
  )
})
