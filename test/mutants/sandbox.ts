/** A copy of the repository in a temporary folder, to break and to mend. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { mutate, type Mutant } from "./mutant.ts"

const COPIED = ["core", "interpreters", "kv", "spec", "test", "package.json", "tsconfig.json"] as const

export interface Sandbox {
  readonly root: string
  readonly seed: (mutant: Mutant) => void
  readonly mend: (mutant: Mutant) => void
  readonly remove: () => void
}

/** `commit` null: the files as they are in the working tree. */
export const makeSandbox = (repository: string, commit: string | null): Sandbox => {
  const root = mkdtempSync(join(tmpdir(), "stepraft-mutant-"))
  if (commit === null) for (const part of COPIED) cpSync(join(repository, part), join(root, part), { recursive: true })
  else {
    const archive = execFileSync("git", ["archive", commit, ...COPIED], { cwd: repository, maxBuffer: 1 << 28 })
    execFileSync("tar", ["-x", "-C", root], { input: archive })
  }
  // A folder of its own, so that caches in it are not shared.
  mkdirSync(join(root, "node_modules"))
  for (const name of readdirSync(join(repository, "node_modules")))
    if (name === ".bin" || !name.startsWith("."))
      symlinkSync(join(repository, "node_modules", name), join(root, "node_modules", name))
  const shipped = new Map<string, string>()
  const read = (file: string): string => {
    const text = shipped.get(file) ?? readFileSync(join(root, file), "utf8")
    shipped.set(file, text)
    return text
  }
  return {
    root,
    seed: (mutant) => {
      for (const [file, text] of mutate(mutant, read)) writeFileSync(join(root, file), text)
    },
    mend: (mutant) => {
      for (const { file } of mutant.patches) writeFileSync(join(root, file), read(file))
    },
    // What was ended just now may still be at its last write.
    remove: () => rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }),
  }
}

/** Of all that decides a result: shipped code, specification and tests. */
export const fingerprint = (root: string): string => {
  const hash = createHash("sha256")
  const walk = (folder: string): void => {
    for (const item of readdirSync(join(root, folder), { withFileTypes: true }).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      const path = join(folder, item.name)
      if (item.isDirectory()) walk(path)
      else hash.update(path).update(readFileSync(join(root, path)))
    }
  }
  for (const folder of ["core", "interpreters", "kv", "spec", "test"]) walk(folder)
  return hash.digest("hex").slice(0, 16)
}
