/**
 * Creates the certificates of a first cluster (RFC 5280): an authority, and certificates that it signs. Node's crypto
 * has keys and signatures, but cannot write X.509; the few lines needed here are less than a library would be. Keys are
 * P-256.
 */
import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate, type KeyObject } from "node:crypto"
import { isIP } from "node:net"
import { bits, explicit, implicit, derInteger, octets, oid, sequence, derSet, text, time, yes } from "./der.ts"

export interface Certified {
  /** PEM. */
  readonly certificate: string
  readonly key: string
  readonly ends: Date
}
interface Validity {
  readonly days: number
  /** Default: a few minutes ago, because some clocks are behind. */
  readonly from?: Date
}
export interface CertificateRequest extends Validity {
  /** The name of the member or of the user. */
  readonly name: string
  /** A node uses its certificate both as server and as client; a client only as client. */
  readonly purpose: "node" | "client"
  /** Where clients find the node: host names and addresses. */
  readonly hosts?: readonly string[]
}

const DAY = 86_400_000
const EARLIER = 300_000

const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const
export const SERVER_AUTH = OID.serverAuth
export const CLIENT_AUTH = OID.clientAuth

const algorithm = sequence(oid(OID.ecdsaWithSha256))
const named = (name: string): Buffer => sequence(derSet(sequence(oid(OID.commonName), text(name))))
const extension = (id: string, critical: boolean, content: Uint8Array): Buffer =>
  sequence(oid(id), ...(critical ? [yes] : []), octets(content))

/** Reads the text form of RFC 5952: gives sixteen bytes, or four. */
const addressBytes = (address: string): Buffer => {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number))
  const [before = "", after] = address.split("::")
  const words = (part: string): string[] =>
    part.split(":").flatMap((word) => {
      if (word === "") return []
      const four = word.includes(".") ? addressBytes(word) : null
      return four === null ? [word] : [four.subarray(0, 2).toString("hex"), four.subarray(2).toString("hex")]
    })
  const [head, tail] = [words(before), words(after ?? "")]
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0")
  return Buffer.from([...head, ...zeros, ...tail].map((word) => word.padStart(4, "0")).join(""), "hex")
}
const alternative = (host: string): Buffer =>
  isIP(host) === 0 ? implicit(2, Buffer.from(host)) : implicit(7, addressBytes(host))

interface Content {
  readonly subject: Buffer
  readonly issuer: Buffer
  readonly from: Date
  readonly ends: Date
  readonly publicKey: KeyObject
  readonly extensions: readonly Buffer[]
}
const signed = ({ subject, issuer, from, ends, publicKey, extensions }: Content, by: KeyObject | string): string => {
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  const body = sequence(
    explicit(0, derInteger(Buffer.from([2]))),
    derInteger(serial),
    algorithm,
    issuer,
    sequence(time(from), time(ends)),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    explicit(3, sequence(...extensions)),
  )
  const whole = sequence(body, algorithm, bits(sign("sha256", body, by)))
  const lines = whole.toString("base64").match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`
}

const keyIdOf = (publicKey: KeyObject): Buffer =>
  createHash("sha1")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest()
const newKeys = (): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } =>
  generateKeyPairSync("ec", { namedCurve: "P-256" })
const pem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString()
const spanOf = ({
  days,
  from = new Date(Date.now() - EARLIER),
}: Validity): { readonly from: Date; readonly ends: Date } => ({ from, ends: new Date(from.getTime() + days * DAY) })

/** Each authority has a name of its own, so that two of them can be trusted at a time while one replaces the other. */
export const makeAuthority = (validity: Validity): Certified => {
  const { publicKey, privateKey } = newKeys()
  const id = keyIdOf(publicKey)
  const name = named(`stepraft authority ${id.toString("hex", 0, 6)}`)
  const { from, ends } = spanOf(validity)
  const certificate = signed(
    {
      subject: name,
      issuer: name,
      from,
      ends,
      publicKey,
      extensions: [
        extension(OID.basicConstraints, true, sequence(yes)),
        // keyCertSign and cRLSign.
        extension(OID.keyUsage, true, bits(Buffer.from([0x06]), 1)),
        extension(OID.subjectKeyIdentifier, false, octets(id)),
      ],
    },
    privateKey,
  )
  return { certificate, key: pem(privateKey), ends }
}

/** The certificate ends no later than its authority. */
export const certify = (authority: Pick<Certified, "certificate" | "key">, request: CertificateRequest): Certified => {
  const issuer = new X509Certificate(authority.certificate)
  const { publicKey, privateKey } = newKeys()
  const { from, ends } = spanOf(request)
  const last = new Date(Math.min(ends.getTime(), Date.parse(issuer.validTo)))
  const issuerId = keyIdOf(issuer.publicKey)
  const { name, purpose, hosts = [] } = request
  const names = [...new Set([name, ...hosts])]
  const certificate = signed(
    {
      subject: named(name),
      issuer: subjectOf(issuer),
      from,
      ends: last,
      publicKey,
      extensions: [
        extension(OID.basicConstraints, true, sequence()),
        // digitalSignature.
        extension(OID.keyUsage, true, bits(Buffer.from([0x80]), 7)),
        extension(
          OID.extendedKeyUsage,
          false,
          sequence(...(purpose === "node" ? [oid(OID.serverAuth)] : []), oid(OID.clientAuth)),
        ),
        ...(purpose === "node" ? [extension(OID.subjectAltName, false, sequence(...names.map(alternative)))] : []),
        extension(OID.subjectKeyIdentifier, false, octets(keyIdOf(publicKey))),
        ...(issuer.raw.includes(issuerId)
          ? [extension(OID.authorityKeyIdentifier, false, sequence(implicit(0, issuerId)))]
          : []),
      ],
    },
    authority.key,
  )
  return { certificate, key: pem(privateKey), ends: last }
}

/** The subject as the bytes in the certificate, so that every comparison gives the same result. */
const subjectOf = ({ raw }: X509Certificate): Buffer => {
  // Certificate → TBSCertificate → version, serial, algorithm, issuer, validity, subject.
  let [from] = contentAt(raw, 0)
  ;[from] = contentAt(raw, from)
  for (let skipped = 0; skipped < 5; skipped++) [, from] = contentAt(raw, from)
  const [, end] = contentAt(raw, from)
  return raw.subarray(from, end)
}
/** Where the content of the DER element at `at` begins, and where it ends. */
const contentAt = (der: Buffer, at: number): readonly [from: number, end: number] => {
  const first = der[at + 1] ?? 0
  const digits = first < 0x80 ? 0 : first & 0x7f
  const size = digits === 0 ? first : der.readUIntBE(at + 2, digits)
  const from = at + 2 + digits
  return [from, from + size]
}
