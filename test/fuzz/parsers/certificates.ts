/** Certificates: what a node is given as files, and what whoever connects shows it. */
import { createPrivateKey, sign, X509Certificate } from "node:crypto"
import { duplexPair } from "node:stream"
import * as tls from "node:tls"
import { bits, oid, sequence } from "../../../interpreters/tls/der.ts"
import { TlsUnusable } from "../../../interpreters/tls/errors.ts"
import { certificateProblem, certifiedName } from "../../../interpreters/tls/index.ts"
import { judged, type TlsFiles, type TlsMaterial } from "../../../interpreters/tls/keeper.ts"
import { contextOf } from "../../../interpreters/tls/server.ts"
import { memberCertificateProblem } from "../../../interpreters/tls/trust.ts"
import made from "../certificates.json" with { type: "json" }
import { Broken, must, orRefused, told, type Parser } from "../parser.ts"

const NAME = "n1"
const files: TlsFiles = { cert: "n1.crt", key: "n1.key", ca: "ca.crt" }
/** Made once, for a hundred years, so that an input that was found can be given again. */
const { authority, elsewhere, own, client, other } = made
const trusted = { cert: other.certificate, key: other.key, ca: authority.certificate }

/** What one end finds of the certificate that the other shows. A text: TLS itself refused. */
interface Met {
  readonly name: string | null
  readonly asClient: string | null
  readonly asMember: string | null
}
const meet = (shown: TlsMaterial, isServer: boolean): Promise<Met | string> =>
  new Promise((resolve) => {
    const [near, far] = duplexPair()
    const open = { rejectUnauthorized: false, checkServerIdentity: () => undefined }
    const [mine, theirs] = isServer ? [shown, trusted] : [trusted, shown]
    const server = tls.createServer({ ...open, ...contextOf(mine, "TLSv1.3"), requestCert: true })
    const dialled = tls.connect({
      ...open,
      socket: far,
      secureContext: tls.createSecureContext(contextOf(theirs, "TLSv1.3")),
    })
    const end = (met: Met | string): void => {
      for (const one of [dialled, near, far]) one.destroy()
      resolve(met)
    }
    const judge = (socket: tls.TLSSocket): void =>
      end({
        name: certifiedName(socket),
        asClient: certificateProblem(socket),
        asMember: memberCertificateProblem(socket),
      })
    server.once("tlsClientError", ({ message }) => end(message))
    server.once("secureConnection", (socket) => {
      socket.on("error", ({ message }) => end(message))
      if (!isServer) judge(socket)
    })
    if (isServer) dialled.once("secureConnect", () => judge(dialled))
    dialled.on("error", ({ message }) => end(message)).on("close", () => end("closed"))
    server.emit("connection", near)
  })

/**
 * What only OpenSSL looks at, in the whole chain: critical extensions that it does not know, what a key may be used for.
 * A node that starts with such a certificate is told so by the first that it meets.
 */
const ONLY_OPENSSL = /UNSPECIFIED|INVALID_PURPOSE|INVALID_EXTENSION|UNHANDLED_CRITICAL_EXTENSION|INVALID_CA|PATH_LENGTH/
const judgedOrNot = (name: string, shown: TlsMaterial): ReturnType<typeof judged> | undefined =>
  orRefused(() => judged(name, files, shown), TlsUnusable)
/** What a node of this name takes for its own, every other member takes for that node's. */
const checkTaken = async (name: string, shown: TlsMaterial): Promise<void> => {
  const taken = judgedOrNot(name, shown)
  if (taken === undefined) return
  must(taken.ends.getTime() > Date.now(), "it has ended")
  for (const isServer of [false, true]) {
    const met = await meet(shown, isServer)
    if (typeof met === "string") throw new Broken(`TLS refuses what a node took for its own: ${met}`)
    must(
      met.asMember === null || ONLY_OPENSSL.test(met.asMember),
      `others refuse what a node took for its own: ${met.asMember}`,
    )
    must(met.name === name, `a node took for its own what others take for ${met.name ?? "nobody"}'s`)
  }
  // The same certificate, written in another way.
  const [first] = shown.cert.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const again = new X509Certificate(first ?? "").toString()
  const [, ...between] = shown.cert.split(/(?<=-----END CERTIFICATE-----)/)
  must(
    told(judgedOrNot(name, { ...shown, cert: `${again}${between.join("")}` })?.ends) === told(taken.ends),
    "written again it is another",
  )
}

// ------------------------------------------------------------------------------------------- what files hold

const DIVIDER = "=====\n"
const partsOf = (input: Buffer): TlsMaterial => {
  const [cert = "", key = "", ca = ""] = input.toString("utf8").split(DIVIDER)
  return { cert, key, ca }
}
const inFiles = ({ cert, key, ca }: TlsMaterial): Buffer => Buffer.from([cert, key, ca].join(DIVIDER))
const checkFiles = async (input: Buffer): Promise<void> => {
  const shown = partsOf(input)
  // Others trust the cluster's authority only.
  if (!shown.ca.includes(authority.certificate.slice(30, 200))) return void judgedOrNot(NAME, shown)
  await checkTaken(NAME, shown)
}

// ------------------------------------------------------------------------------- what stands in a certificate

/** Where the content of the DER element at `at` begins, and where it ends. */
const element = (der: Buffer, at: number): readonly [from: number, end: number] => {
  const first = der[at + 1] ?? 0
  const digits = first < 0x80 ? 0 : Math.min(first & 0x7f, 4)
  const from = at + 2 + digits
  return [from, from + (digits === 0 ? first : der.readUIntBE(at + 2, digits))]
}
/** The part of a certificate that is signed. */
const contentOf = (pem: string): Buffer => {
  const { raw } = new X509Certificate(pem)
  const [from] = element(raw, 0)
  return raw.subarray(from, element(raw, from)[1])
}
const key = createPrivateKey(authority.key)
const signedBy = (content: Buffer): Buffer =>
  sequence(content, sequence(oid("1.2.840.10045.4.3.2")), bits(sign("sha256", content, key)))
const asText = (whole: Buffer): string => {
  const lines = whole.toString("base64").match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`
}
/** Lengths that fit the content again, from the outermost in. */
const mendLengths = (input: Buffer): Buffer => {
  if (input.length < 4 || input[0] !== 0x30) return input
  const out = Buffer.from(input)
  if (out[1] === 0x82) out.writeUInt16BE(Math.min(out.length - 4, 0xffff), 2)
  return out
}
const readableIn = (certificate: Buffer | string): X509Certificate | null => {
  try {
    return new X509Certificate(certificate)
  } catch {
    return null
  }
}
const checkContent = async (input: Buffer): Promise<void> => {
  const whole = signedBy(input)
  const cert = asText(whole)
  const readable = readableIn(cert)
  must((readable === null) === (readableIn(whole) === null), "as text it cannot be read, or only so")
  // One that could show it has its key.
  const holder =
    readable === null ? own : [own, client, other].find(({ key }) => readable.checkPrivateKey(createPrivateKey(key)))
  if (holder === undefined) return
  const shown = { cert, key: holder.key, ca: authority.certificate }
  if (readable === null) return must(judgedOrNot(NAME, shown) === undefined, "a node takes what cannot be read")
  await checkTaken(NAME, shown)
  for (const isServer of [false, true]) {
    const met = await meet(shown, isServer).catch(String)
    if (typeof met === "string") continue
    must(met.asMember !== null || met.asClient === null, "a member that could not be a client")
    for (const why of [met.asClient, met.asMember])
      must(why === null || (why.length < 600 && !/\p{Cc}/u.test(why)), "a reason that moves the cursor, or has no end")
  }
}

const KEEPER = "interpreters/tls/keeper.ts"
const PAIR = "interpreters/tls/pair.ts"
const TRUST = "interpreters/tls/trust.ts"
const SOURCES = [KEEPER, PAIR, "interpreters/tls/names.ts", TRUST, "interpreters/text.ts"]
export const parsers: readonly Parser[] = [
  {
    name: "tls-files",
    about:
      "certificate, key and authorities of a node as files: refused by file, or what every other member takes for that node's",
    files: SOURCES,
    seeds: () => [
      inFiles({ cert: own.certificate, key: own.key, ca: authority.certificate }),
      inFiles({
        cert: `text before\n${own.certificate}`,
        key: own.key,
        ca: `${elsewhere.certificate}${authority.certificate}`,
      }),
      inFiles({ cert: client.certificate, key: client.key, ca: authority.certificate }),
      inFiles({ cert: own.certificate, key: other.key, ca: authority.certificate }),
      inFiles({ cert: own.certificate, key: own.key, ca: elsewhere.certificate }),
      inFiles({ cert: own.certificate + authority.certificate, key: own.key, ca: authority.certificate }),
    ],
    check: checkFiles,
    faults: [
      {
        id: "fuzz-tls-files-1",
        title: "the key may be that of another certificate",
        patches: [
          {
            file: PAIR,
            find: "if (!own.checkPrivateKey(secret)) throw",
            replace: 'if (secret.type !== "private") throw',
          },
          { file: PAIR, find: "if (!signsFor(own, secret)) throw", replace: 'if (secret.type !== "private") throw' },
        ],
      },
      {
        id: "fuzz-tls-files-2",
        title: "a certificate that cannot be read is no error of its own",
        patches: [
          {
            file: PAIR,
            find: "throw new TlsUnusable({ file, reason: `a certificate in it cannot be read (${String(error)})` })",
            replace: "throw error",
          },
        ],
      },
      {
        id: "fuzz-tls-files-3",
        title: "a client's certificate will do for a node",
        patches: [{ file: KEEPER, find: "purposes?.includes(purpose)", replace: "purposes?.includes(CLIENT_AUTH)" }],
      },
    ],
  },
  {
    name: "certificates",
    about:
      "certificates of any content, signed by the authority: judged without an error by whoever meets them, and what a node takes for its own, others take for that node's",
    files: SOURCES,
    seeds: () => [
      ...[own, client, other].map(({ certificate }) => contentOf(certificate)),
      Buffer.from(contentOf(client.certificate).toString("latin1").replace("n1", "\n1"), "latin1"),
      Buffer.from(contentOf(own.certificate).toString("latin1").replace("U\u001d%", "U\u001dc"), "latin1"),
    ],
    words: [NAME, "n2", "\u001b[2J"],
    mend: mendLengths,
    check: checkContent,
    faults: [
      {
        id: "fuzz-certificates-1",
        title: "a node takes a certificate for another",
        patches: [{ file: KEEPER, find: "if (named !== name)", replace: 'if (named === "")' }],
      },
      {
        id: "fuzz-certificates-2",
        title: "a name moves the cursor",
        patches: [{ file: TRUST, find: "` for ${shown(name, 80)}`", replace: "` for ${name}`" }],
      },
      {
        id: "fuzz-certificates-3",
        title: "a certificate for clients alone will do",
        patches: [{ file: KEEPER, find: "[SERVER_AUTH, CLIENT_AUTH].every", replace: "[CLIENT_AUTH].every" }],
      },
    ],
  },
]
