/** `stepraft cert`: an authority and its certificates, as files in a folder. */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { isIP } from "node:net"
import { join } from "node:path"
import { makeFolders } from "../../../interpreters/cli/folders.ts"
import { exitCodes, Failure, failure } from "../../../interpreters/cli/runtime.ts"
import { certify, hostsIn, makeAuthority, SERVER_AUTH, type Certified } from "../../../interpreters/tls/index.ts"
import { isMemberName } from "../../../interpreters/text.ts"

const AUTHORITY = "ca"
const certOf = (folder: string, name: string): string => join(folder, `${name}.crt`)
const keyOf = (folder: string, name: string): string => join(folder, `${name}.key`)

/** Durable, and readable for nobody else from the first moment: what lies there under the name, even a link, is not used. */
const writeNew = (file: string, text: string, mode: number): void => {
  rmSync(file, { force: true })
  const handle = openSync(file, "wx", mode)
  try {
    writeFileSync(handle, text)
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
/**
 * Files are replaced by rename, so that a reader always finds complete files. The key comes first: a certificate
 * without its key is of no use.
 */
export const writeCertified = (folder: string, name: string, { certificate, key }: Certified): void => {
  makeFolders(folder)
  for (const [file, text, mode] of [
    [keyOf(folder, name), key, 0o600],
    [certOf(folder, name), certificate, 0o644],
  ] as const) {
    writeNew(`${file}.new`, text, mode)
    renameSync(`${file}.new`, file)
  }
}
const requireFree = (folder: string, name: string, replace: boolean, instead: string): void => {
  const found = [certOf(folder, name), keyOf(folder, name)].find((file) => existsSync(file))
  if (found !== undefined && !replace) throw failure(`${found} exists already. Nothing was changed. ${instead}`)
}
const day = (date: Date): string => date.toISOString().slice(0, 10)
const say = (text: string): void => void process.stdout.write(`${text}\n`)

export const init = (folder: string, days: number): void => {
  requireFree(
    folder,
    AUTHORITY,
    false,
    "Nobody would trust a new authority in its place. To replace it, make another in a folder of its own (stepraft cert init --dir next), and go on as kv/SECURITY.md says (Replacing what ends).",
  )
  const made = makeAuthority({ days })
  writeCertified(folder, AUTHORITY, made)
  say(
    `${certOf(folder, AUTHORITY)}: the cluster's authority, until ${day(made.ends)}. Every node and client gets it (tls-ca).\n${keyOf(folder, AUTHORITY)}: its key. Whoever has it can be any node: keep it off the nodes.`,
  )
}

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g
const authorityIn = (folder: string): { readonly certificate: string; readonly key: string } => {
  const [certificates, secret] = [certOf(folder, AUTHORITY), keyOf(folder, AUTHORITY)]
  const [isCertified, isSecret] = [existsSync(certificates), existsSync(secret)]
  if (!isCertified && !isSecret)
    throw failure(
      `there is no authority in ${folder}: make one first with stepraft cert init, or give another folder with --dir.`,
    )
  if (!isSecret)
    throw failure(
      `${secret} is missing: the authority's key is kept off the nodes. Nothing was made. Run this command on the machine that keeps it, and copy what it makes, or give its folder with --dir.`,
    )
  if (!isCertified)
    throw failure(
      `${certificates} is missing beside its key. Nothing was made. Copy it back from any node or client, or give another folder with --dir.`,
    )
  const key = readFileSync(secret, "utf8")
  try {
    const own = createPrivateKey(key)
    // There are several while one replaces another.
    const blocks = readFileSync(certificates, "utf8").match(BLOCK) ?? []
    const certificate = blocks.find((block) => new X509Certificate(block).checkPrivateKey(own))
    if (own.asymmetricKeyDetails?.namedCurve !== "prime256v1")
      throw failure(`${secret} was not made by stepraft cert: use the tools that made it.`)
    if (certificate === undefined)
      throw failure(`${secret} is the key of no certificate in ${certificates}: bring the two that belong together.`)
    return { certificate, key }
  } catch (error) {
    if (error instanceof Failure) throw error
    throw failure(
      `the authority in ${folder} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}
/** What it certifies would count for nobody. */
const requireValid = (folder: string, certificate: string): void => {
  const [from, ends] = spanOf(new X509Certificate(certificate))
  if (ends.getTime() <= Date.now())
    throw failure(
      `the authority in ${folder} ended at ${ends.toISOString()}. Nothing was made. Make another one in a folder of its own (stepraft cert init --dir), and have every node and client trust both until all show certificates of the new one.`,
    )
  if (from.getTime() > Date.now())
    throw failure(
      `the authority in ${folder} begins at ${from.toISOString()}. Nothing was made: is this machine's clock right?`,
    )
}
const spanOf = ({ validFrom, validTo }: X509Certificate): readonly [from: Date, ends: Date] => [
  new Date(validFrom),
  new Date(validTo),
]

const LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
const HOST = new RegExp(`^(?=.{1,253}$)(?:\\*\\.)?${LABEL}(?:\\.${LABEL})*$`)
/** Whoever dials compares it with what he dials: what cannot be dialled would be of no use, and nobody would notice. */
const hostIn = (text: string): string => {
  const host = /^\[.*\]$/.test(text) ? text.slice(1, -1) : text
  if ((isIP(host) !== 0 && !host.includes("%")) || (HOST.test(host) && !/^[\d.]+$/.test(host))) return host
  throw failure(
    `--host: ${JSON.stringify(text)} is neither a host name nor an address. They stand there without a port, and with commas between them.`,
    exitCodes.usage,
  )
}

/** What is known of the certificate that is to be replaced; null: there is none, or it cannot be read. */
const former = (folder: string, name: string): X509Certificate | null => {
  try {
    return new X509Certificate(readFileSync(certOf(folder, name)))
  } catch {
    return null
  }
}
const purposeOf = ({ keyUsage }: X509Certificate): Certify["purpose"] =>
  (keyUsage as readonly string[] | undefined)?.includes(SERVER_AUTH) === false ? "client" : "node"
/** A node is asked on its own machine, too. */
const HERE = ["localhost", "127.0.0.1", "::1"]

export interface Certify {
  readonly folder: string
  readonly name: string
  readonly purpose: "node" | "client"
  /** Of a node. When a certificate is replaced, none means those of the former. */
  readonly hosts: readonly string[]
  readonly days: number
  readonly replace: boolean
}
export const certifyIn = ({ folder, name, purpose, hosts, days, replace }: Certify): void => {
  if (!isMemberName(name) || name.toLowerCase() === AUTHORITY)
    throw failure(
      `${JSON.stringify(name)} cannot be a name: letters, digits, dots, dashes and underscores, and not ${AUTHORITY}`,
      exitCodes.usage,
    )
  const given = hosts.map(hostIn)
  requireFree(folder, name, replace, "Use --replace to replace it, or give another folder with --dir.")
  const authority = authorityIn(folder)
  requireValid(folder, authority.certificate)
  const before = replace ? former(folder, name) : null
  if (before !== null && purposeOf(before) !== purpose)
    throw failure(
      `${certOf(folder, name)} is a ${purposeOf(before)}'s. Nothing was changed: a ${purpose} needs a name of its own.`,
    )
  const kept =
    given.length === 0 && before !== null ? hostsIn(before.subjectAltName).filter((host) => host !== name) : given
  const reached = purpose === "node" ? [...new Set([...kept, ...HERE])] : []
  const made = certify(authority, { name, purpose, days, hosts: reached })
  writeCertified(folder, name, made)
  const use =
    purpose === "node"
      ? `the node ${name}, found at ${reached.join(", ")}`
      : `the client ${name}, a user of that name where there are users`
  const short = made.ends.getTime() === spanOf(new X509Certificate(authority.certificate))[1].getTime()
  say(
    `${certOf(folder, name)}: for ${use}, until ${day(made.ends)}${short ? ", when its authority ends" : ""} (tls-cert).\n${keyOf(folder, name)}: its key (tls-key). A running node starts to use new files without a restart.`,
  )
}
