/** TLS: the identity of a node, whom it trusts, and certificates for a first cluster. */
export { certify, makeAuthority, SERVER_AUTH, type Certified, type CertificateRequest } from "./certificate.ts"
export { TlsUnusable } from "./errors.ts"
export { openTls, type TlsMaterial, type Tls, type TlsFiles, type TlsOptions } from "./keeper.ts"
export { hostsIn } from "./names.ts"
export { contextOf, remoteOf, secureServer, sharedContextOf, type Remote } from "./server.ts"
export { renewalOf, type Renewal } from "./renewal.ts"
export { certificateProblem, certifiedName, memberCertificateProblem } from "./trust.ts"
