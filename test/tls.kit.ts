/** Certificates that are made when a test runs: stored ones would expire. */
import { scryptSync, sign, X509Certificate } from "node:crypto"
import { bits, oid, sequence } from "../interpreters/tls/der.ts"
import {
  certify,
  makeAuthority,
  type Certified,
  type CertificateRequest,
  type TlsMaterial,
  type Tls,
} from "../interpreters/tls/index.ts"

export const DAY = 86_400_000
export const authority = makeAuthority({ days: 2 })
/** A certificate of another cluster, or of an attacker. */
export const stranger = makeAuthority({ days: 2 })

export const shownBy = (
  name: string,
  by: Certified = authority,
  request: Partial<CertificateRequest> = {},
  trusts = by,
): TlsMaterial => {
  const { certificate, key } = certify(by, {
    name,
    purpose: "node",
    days: 1,
    hosts: ["localhost", "127.0.0.1"],
    ...request,
  })
  return { cert: certificate, key, ca: trusts.certificate }
}

/** A certificate that the authority signed and that says nothing of what it is for, as plain OpenSSL makes them. */
export const purposeless = (name: string): TlsMaterial => {
  const { cert, ...rest } = shownBy(name)
  const whole = new X509Certificate(cert).raw
  const content = whole.subarray(4, 8 + whole.readUInt16BE(6))
  // The identifier of the purposes becomes one that nobody knows.
  content[content.indexOf(Buffer.from([0x55, 0x1d, 0x25])) + 2] = 0x63
  const signature = bits(sign("sha256", content, authority.key))
  return { ...rest, cert: pemOf(sequence(content, sequence(oid("1.2.840.10045.4.3.2")), signature)) }
}
const pemOf = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replaceAll(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`

/** A certificate without a common name, whose other names cannot be read: Node gives null for them. Nobody signed that. */
export const nameless = (name: string): TlsMaterial => {
  const { cert, ...rest } = shownBy(name, stranger)
  const der = Buffer.from(new X509Certificate(cert).raw)
  // The last of both is the subject's; the names begin eight bytes after the identifier.
  der[der.lastIndexOf(Buffer.from([0x55, 4, 3])) + 2] = 4
  der[der.indexOf(Buffer.from([0x55, 0x1d, 0x11])) + 7] = 0
  return { ...rest, cert: pemOf(der) }
}

/** What files hold elsewhere; `change` replaces it. */
export interface Held extends Tls {
  readonly change: (shown: TlsMaterial) => void
}
export const held = (first: TlsMaterial): Held => {
  let shown = first
  let reloads = 0
  const listeners = new Set<() => void>()
  return {
    material: () => shown,
    begins: () => new Date(Date.now() - DAY),
    ends: () => new Date(Date.now() + DAY),
    renewal: () => "later",
    reloads: () => reloads,
    unusable: () => null,
    onChange: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    look: async () => {},
    change: (next) => {
      shown = next
      reloads += 1
      for (const listener of listeners) listener()
    },
  }
}
export const tlsOf = (name: string, by?: Certified, request?: Partial<CertificateRequest>, trusts?: Certified): Held =>
  held(shownBy(name, by, request, trusts))

/** A line for the file of users, with a password that is cheap to check. */
export const userLine = (name: string, role: string, password: string): string => {
  const salt = Buffer.from("0123456789abcdef")
  const key = scryptSync(password, salt, 32, { N: 16, r: 1, p: 1 })
  return `${name} ${role} scrypt:16:1:1:${salt.toString("base64url")}:${key.toString("base64url")}`
}
