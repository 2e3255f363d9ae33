/** TLS: the identity of a node, whom it trusts, and certificates for a first cluster. */
export { certify, makeAuthority, type Certified, type CertificateRequest } from "./certificate.ts"
export { TlsUnusable } from "./errors.ts"
export { openTls, type Shown, type Tls, type TlsFiles, type TlsOptions } from "./keeper.ts"
export { contextOf, remoteOf, secureServer, type Remote } from "./server.ts"
export { distrust, nameOf, noMember } from "./trust.ts"
