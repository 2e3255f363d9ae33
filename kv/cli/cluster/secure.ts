/**
 * What `cluster --tls` creates in its folder: an authority, certificates for the nodes and an administrator, and users.
 */
import { randomBytes } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { certify, makeAuthority } from "../../../interpreters/tls/index.ts"
import { passwordHash } from "../../server/users/hash.ts"
import type { Endpoint } from "../../client/endpoints.ts"
import { useAccess } from "../access.ts"
import { writeCertified } from "../security/cert.ts"
import type { LayoutNode } from "./layout.ts"

const DAYS = 825
const ADMIN = "admin"
const LOGINS = ["writer", "reader"] as const

const folderOf = (data: string): string => join(data, "certs")
const usersOf = (data: string): string => join(data, "users")
const passwordsOf = (data: string): string => join(data, "passwords")
const file = (data: string, name: string): string => join(folderOf(data), name)

/** Creates what is missing: a folder that has everything is left as it is. */
export const makeSecure = async (data: string, host: string, members: readonly LayoutNode[]): Promise<void> => {
  const folder = folderOf(data)
  if (!existsSync(file(data, "ca.crt"))) writeCertified(folder, "ca", makeAuthority({ days: 3650 }))
  const authority = {
    certificate: readFileSync(file(data, "ca.crt"), "utf8"),
    key: readFileSync(file(data, "ca.key"), "utf8"),
  }
  const hosts = [...new Set([host, "localhost", "127.0.0.1", "::1"])]
  for (const { id } of members)
    if (!existsSync(file(data, `${id}.crt`)))
      writeCertified(folder, id, certify(authority, { name: id, purpose: "node", hosts, days: DAYS }))
  if (!existsSync(file(data, `${ADMIN}.crt`)))
    writeCertified(folder, ADMIN, certify(authority, { name: ADMIN, purpose: "client", days: DAYS }))
  if (existsSync(usersOf(data))) return
  const made = await Promise.all(
    LOGINS.map(async (name) => {
      const password = randomBytes(15).toString("base64url")
      const role = name === "writer" ? "write" : "read"
      return { name, password, line: `${name} ${role} ${await passwordHash(Buffer.from(password))}` }
    }),
  )
  writeFileSync(passwordsOf(data), made.map(({ name, password }) => `${name} ${password}\n`).join(""), { mode: 0o600 })
  writeFileSync(usersOf(data), `${ADMIN} admin - # by certificate\n${made.map(({ line }) => `${line}\n`).join("")}`)
}

/** From here on this program logs in to the cluster as its administrator. */
export const useAdminAccess = (data: string): void => {
  const [ca, cert, key] = ["ca.crt", `${ADMIN}.crt`, `${ADMIN}.key`].map((name) =>
    readFileSync(file(data, name), "utf8"),
  )
  if (ca !== undefined && cert !== undefined && key !== undefined) useAccess({ tls: { ca, cert, key }, login: null })
}

/** The TLS settings of a node. */
export const secureSettings = (data: string, id: string) => ({
  tlsCert: file(data, `${id}.crt`),
  tlsKey: file(data, `${id}.key`),
  tlsCa: file(data, "ca.crt"),
  users: usersOf(data),
})
export const secureArguments = (data: string, id: string): readonly string[] => {
  const { tlsCert, tlsKey, tlsCa, users } = secureSettings(data, id)
  return ["--tls-cert", tlsCert, "--tls-key", tlsKey, "--tls-ca", tlsCa, "--users", users]
}

export const secureHints = (data: string, { host, port }: Endpoint): readonly string[] => [
  `TLS on every port: certificates in ${folderOf(data)}. Users in ${usersOf(data)}: ${ADMIN} by certificate, ${LOGINS.join(" and ")} by the passwords in ${passwordsOf(data)}`,
  `  redis-cli --tls --cacert ${file(data, "ca.crt")} -h ${host} -p ${port} --user writer --askpass set greeting hello`,
  `  export STEPRAFT_TLS_CA=${file(data, "ca.crt")} STEPRAFT_TLS_CERT=${file(data, `${ADMIN}.crt`)} STEPRAFT_TLS_KEY=${file(data, `${ADMIN}.key`)}`,
]
