/**
 * A version to come, made up: a copy of the build in a temporary folder with patches in it, as mutants are. It does one feature
 * level more, and changes what a version may change: a message, a command that is new and one that means something else, and
 * the snapshot. Nothing of it ships.
 */
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root, temporaryFolder } from "./cluster.ts"
import { patched, type Patch } from "./mutants/mutant.ts"

const patches: readonly Patch[] = [
  { file: "interpreters/features.js", find: "HIGHEST_LEVEL = 1;", replace: "HIGHEST_LEVEL = 2;" },
  // The message: with who speaks protocol 7 it is another kind, which an older version cannot read.
  {
    file: "interpreters/tcp/handshake.js",
    find: "PROTOCOLS = { lowest: 6, highest: 6 }",
    replace: "PROTOCOLS = { lowest: 6, highest: 7 }",
  },
  {
    file: "interpreters/tcp/link.js",
    find: "writeMessage(w, message, chunk);",
    replace: "writeMessage(w, message, chunk, outbound.protocol);",
  },
  {
    file: "interpreters/tcp/codec.js",
    find: "export const writeMessage = (w, message, chunk) => {",
    replace: `export const writeMessage = (w, message, chunk, protocol) => {
    if (protocol >= 7 && message.type === "AppendAccepted") {
        globalThis.nextMessages = (globalThis.nextMessages ?? 0) + 1;
        w.u8(22);
    }`,
  },
  {
    file: "interpreters/tcp/codec.js",
    find: "export const readMessage = (buffer, from, to, slab) => {",
    replace: `export const readMessage = (buffer, from, to, slab) => {
    if (buffer[from] === 22) return readMessage(buffer, from + 1, to, slab);`,
  },
  // The commands: TALLY is new, and from level 2 on CAS creates what does not exist, if nothing is expected.
  {
    file: "kv/machine/commands/execute.js",
    find: 'write("INCR", 2, one, counters.incr, "denyoom", "fast"),',
    replace: `write("INCR", 2, one, counters.incr, "denyoom", "fast"),
    { ...write("TALLY", 2, one, (view, args) => counters.incrby(view, [args[0], args[1], Buffer.from("10")])), level: 2 },`,
  },
  {
    file: "kv/machine/executor.js",
    find: "this.view.index = entry.index;",
    replace: "this.view.index = entry.index;\n        this.view.level = configuration.level ?? 1;",
  },
  {
    file: "kv/machine/commands/strings.js",
    find: "export const cas = (view, args) => {",
    replace: `export const cas = (view, args) => {
    if (view.level >= 2 && argument(args, 2).length === 0 && view.get(argument(args, 1)) === undefined) {
        view.put(argument(args, 1), argument(args, 3), 0);
        return ONE;
    }`,
  },
  // The snapshot: format 7 has more in its header.
  { file: "kv/machine/image.js", find: "READABLE = new Set([6])", replace: "READABLE = new Set([6, 7])" },
  {
    file: "kv/machine/image.js",
    find: `this.w.u32(FORMAT);
            writeBase(this.w, base);`,
    replace: `const format = (base.configuration.level ?? 1) >= 2 ? 7 : 6;
            globalThis["nextImages" + format] = (globalThis["nextImages" + format] ?? 0) + 1;
            this.w.u32(format);
            writeBase(this.w, base);
            if (format === 7) this.w.text("more");`,
  },
  {
    file: "kv/machine/image.js",
    find: "const base = readBase(r);",
    replace: "const base = readBase(r);\n            if (format === 7) r.text();",
  },
  {
    file: "kv/server/commands/info.js",
    find: "feature_level: status.features.level,",
    replace: `feature_level: status.features.level,
    next_messages: globalThis.nextMessages ?? 0,
    next_images_6: globalThis.nextImages6 ?? 0,
    next_images_7: globalThis.nextImages7 ?? 0,`,
  },
]

/** Its version, and its command line. `more`: further patches, to see that a test of it can fail. */
export const makeNext = (more: readonly Patch[] = []): { readonly version: string; readonly program: string } => {
  const folder = temporaryFolder("stepraft-next-")
  cpSync(join(root, "dist"), join(folder, "dist"), { recursive: true })
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
  const description = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as object
  const version = "9.9.9"
  writeFileSync(join(folder, "package.json"), JSON.stringify({ ...description, version }))
  for (const patch of [...patches, ...more]) {
    const path = join(folder, "dist", patch.file)
    writeFileSync(path, patched(readFileSync(path, "utf8"), patch))
  }
  // The build has bundled this file from the sources, without the patches.
  const program = join(folder, "dist/kv/cli.js")
  writeFileSync(program, `import { main } from "./cli/main.js"\nmain(${JSON.stringify(program)})\n`)
  return { version, program }
}
