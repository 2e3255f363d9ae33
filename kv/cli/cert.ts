/** `stepraft cert`: an authority, and what it certifies, as files of a folder. */
import { createPrivateKey } from "node:crypto"
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { makeFolders } from "../../interpreters/cli/folders.ts"
import { exitCodes, failure } from "../../interpreters/cli/runtime.ts"
import { certify, makeAuthority, type Certified } from "../../interpreters/tls/index.ts"
import { isMemberName } from "../../interpreters/text.ts"

const AUTHORITY = "ca"
const certOf = (folder: string, name: string): string => join(folder, `${name}.crt`)
const keyOf = (folder: string, name: string): string => join(folder, `${name}.key`)

/** By rename, so that whoever reads them meanwhile finds whole files. The key first: a certificate without it is of no use. */
export const writeCertified = (folder: string, name: string, { certificate, key }: Certified): void => {
  makeFolders(folder)
  for (const [file, text, mode] of [
    [keyOf(folder, name), key, 0o600],
    [certOf(folder, name), certificate, 0o644],
  ] as const) {
    writeFileSync(`${file}.new`, text, { mode })
    renameSync(`${file}.new`, file)
  }
}
const requireFree = (folder: string, name: string, replace: boolean): void => {
  const found = [certOf(folder, name), keyOf(folder, name)].find((file) => existsSync(file))
  if (found !== undefined && !replace)
    throw failure(
      `${found} exists already. Nothing was changed. Say --replace to put a new one in its place, or give another folder with --dir.`,
    )
}
const day = (date: Date): string => date.toISOString().slice(0, 10)
const say = (text: string): void => void process.stdout.write(`${text}\n`)

export const init = (folder: string, days: number): void => {
  requireFree(folder, AUTHORITY, false)
  const made = makeAuthority({ days })
  writeCertified(folder, AUTHORITY, made)
  say(
    `${certOf(folder, AUTHORITY)}: the cluster's authority, until ${day(made.ends)}. Every node and client gets it (tls-ca).\n${keyOf(folder, AUTHORITY)}: its key. Whoever has it can be any node: keep it off the nodes.`,
  )
}

const authorityIn = (folder: string): { readonly certificate: string; readonly key: string } => {
  try {
    // Of several, while one replaces another, the last is the new one.
    const all = readFileSync(certOf(folder, AUTHORITY), "utf8")
    const certificate = all.slice(all.lastIndexOf("-----BEGIN CERTIFICATE-----"))
    const key = readFileSync(keyOf(folder, AUTHORITY), "utf8")
    if (createPrivateKey(key).asymmetricKeyDetails?.namedCurve !== "prime256v1")
      throw failure(`${keyOf(folder, AUTHORITY)} was not made by stepraft cert: certify with the tools that made it.`)
    return { certificate, key }
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw failure(`there is no authority in ${folder}: make one first with stepraft cert init, or say --dir.`)
    throw error
  }
}

export interface Certify {
  readonly folder: string
  readonly name: string
  readonly purpose: "node" | "client"
  readonly hosts: readonly string[]
  readonly days: number
  readonly replace: boolean
}
export const certifyIn = ({ folder, name, purpose, hosts, days, replace }: Certify): void => {
  if (!isMemberName(name) || name === AUTHORITY)
    throw failure(
      `${JSON.stringify(name)} cannot be a name: letters, digits, dots, dashes and underscores, and not ${AUTHORITY}`,
      exitCodes.usage,
    )
  requireFree(folder, name, replace)
  const made = certify(authorityIn(folder), { name, purpose, days, hosts })
  writeCertified(folder, name, made)
  const use =
    purpose === "node"
      ? `the node ${name}, found at ${hosts.join(", ")}`
      : `the client ${name}, a user of that name where there are users`
  say(
    `${certOf(folder, name)}: for ${use}, until ${day(made.ends)} (tls-cert).\n${keyOf(folder, name)}: its key (tls-key). A running node takes up new files without a restart.`,
  )
}
