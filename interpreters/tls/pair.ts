/** A certificate and its key: whether they are whole and belong together. For nodes and for clients, in the same words. */
import { createPrivateKey, sign, verify, X509Certificate, type KeyObject } from "node:crypto"
import { TlsUnusable } from "./errors.ts"

const BEGIN = "-----BEGIN CERTIFICATE-----"
const BLOCK = /^-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gm

export const certificates = (file: string, pem: string): readonly X509Certificate[] => {
  const blocks = pem.match(BLOCK) ?? []
  // OpenSSL would silently leave it out, and take the next for the node's.
  if (pem.split(BEGIN).length - 1 > blocks.length)
    throw new TlsUnusable({
      file,
      reason:
        "a certificate in it ends in the middle, as in a file that was copied in part, or does not begin at the start of a line",
    })
  if (blocks.length === 0) throw new TlsUnusable({ file, reason: "it holds no certificate (PEM)" })
  return blocks.map((block) => {
    try {
      return new X509Certificate(block)
    } catch (error) {
      throw new TlsUnusable({ file, reason: `a certificate in it cannot be read (${String(error)})` })
    }
  })
}

/**
 * A key whose secret part is damaged still holds the public part that belongs to the certificate, and that is all that
 * `checkPrivateKey` compares.
 */
const signsFor = (own: X509Certificate, secret: KeyObject): boolean => {
  const digest = secret.asymmetricKeyType?.startsWith("ed") === true ? null : "sha256"
  const sample = Buffer.from("a sample")
  try {
    return verify(digest, sample, own.publicKey, sign(digest, sample, secret))
  } catch {
    return false
  }
}

/** Where the two stand, and what stands there. */
interface Two {
  readonly cert: string
  readonly key: string
}
export interface Pair {
  readonly own: X509Certificate
  /** Those between it and its authority. */
  readonly between: readonly X509Certificate[]
  readonly from: Date
  readonly ends: Date
}
/** Throws TlsUnusable. */
export const pairIn = (files: Two, { cert, key }: Two): Pair => {
  const wrong = (reason: string, file = files.cert): TlsUnusable => new TlsUnusable({ file, reason })
  const [own, ...between] = certificates(files.cert, cert)
  if (own === undefined) throw wrong("it holds no certificate (PEM)")
  let secret
  try {
    secret = createPrivateKey(key)
  } catch {
    throw wrong("it holds no private key (PEM, not encrypted)", files.key)
  }
  if (!own.checkPrivateKey(secret)) throw wrong(`it is not the key of the certificate in ${files.cert}`, files.key)
  if (!signsFor(own, secret)) throw wrong("it is damaged: what it signs does not check out", files.key)
  const [from, ends] = [new Date(own.validFrom), new Date(own.validTo)]
  if (Number.isNaN(from.getTime()) || Number.isNaN(ends.getTime()))
    throw wrong(`it says no time at which it begins or ends (${own.validFrom}, ${own.validTo})`)
  return { own, between, from, ends }
}
