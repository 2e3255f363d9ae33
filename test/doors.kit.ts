/** A cluster of real nodes that speak TLS on every port, with users: for tests of who gets in and who does not. */
import { execFile } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createSecureContext } from "node:tls"
import type { CertificateRequest, Certified } from "../interpreters/tls/index.ts"
import { launch, root, startCluster, temporaryFolder, type Cluster, type Watched } from "./cluster.ts"
import { authority, shownBy, stranger, userLine } from "./tls.kit.ts"

export const program = join("dist", "kv", "cli.js")

export interface Secured {
  readonly cluster: Cluster
  readonly folder: string
  /** Writes a certificate and its key, and returns the flags that use them. */
  readonly certify: (
    file: string,
    name: string,
    by?: typeof authority,
    request?: Partial<CertificateRequest>,
  ) => readonly string[]
  /** As whom this process connects from now on, and whom it trusts. */
  readonly identify: (by: Certified, ca: string) => void
}
export const withSecuredCluster = async (body: (secured: Secured) => Promise<void>): Promise<void> => {
  const folder = temporaryFolder("stepraft-doors-")
  mkdirSync(folder, { recursive: true })
  const file = (name: string): string => join(folder, name)
  const write = (name: string, text: string): void => writeFileSync(file(name), text, { mode: 0o600 })
  write("ca.crt", authority.certificate)
  write("stranger.crt", stranger.certificate)
  write("users", [userLine("ann", "write", "a"), userLine("bob", "read", "b"), "ops admin -"].join("\n"))
  const certify: Secured["certify"] = (at, name, by = authority, request = {}) => {
    const { cert, key } = shownBy(name, by, request)
    write(`${at}.crt`, cert)
    write(`${at}.key`, key)
    return ["--tls-cert", file(`${at}.crt`), "--tls-key", file(`${at}.key`)]
  }
  const administrator = (by: Certified, ca: string) =>
    createSecureContext({ ...shownBy("ops", by, { purpose: "client" }), ca })
  const identity = { secureContext: administrator(authority, authority.certificate) }
  const cluster = await startCluster({
    flags: ["--tls-ca", file("ca.crt"), "--users", file("users")],
    flagsOf: (id) => certify(id, id),
    // No election because the machine is busy: a term that rises was made to rise.
    env: { STEPRAFT_ELECTION_MIN: "10000", STEPRAFT_ELECTION_MAX: "12000" },
    secured: identity,
  })
  try {
    await cluster.leader()
    await body({
      cluster,
      folder,
      certify,
      identify: (by, ca) => {
        identity.secureContext = administrator(by, ca)
      },
    })
  } catch (error) {
    console.error(cluster.logs())
    throw error
  } finally {
    await cluster.dispose()
  }
}

/** A process at the place of that node, which is down, with a directory of its own. */
export const impostor = (cluster: Cluster, id: string, flags: readonly string[], others = true): Watched => {
  const { clientPort, peerPort } = cluster.member(id)
  const listed = others ? cluster.members : [cluster.member(id)]
  const words = ["serve", "--id", id, "--data", temporaryFolder("stepraft-impostor-")]
  words.push("--client", `127.0.0.1:${clientPort}`, "--peer", `127.0.0.1:${peerPort}`)
  words.push("--peers", listed.map((one) => `${one.id}=127.0.0.1:${one.peerPort}`).join(","))
  if (!others) words.push("--bootstrap")
  return launch(process.execPath, [program, ...words, ...flags])
}

/** The command line as people call it. */
export const ask = (
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number; readonly text: string }> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [program, ...words],
      { cwd: root, env: { ...process.env, ...env } },
      (_, out, err) => resolve({ code: child.exitCode ?? -1, text: out + err }),
    )
  })
