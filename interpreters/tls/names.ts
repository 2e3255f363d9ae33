/** Whose a certificate is, and for which hosts. */
import { isIP } from "node:net"
import { isMemberName } from "../text.ts"

/** What Node tells of a certificate's names, which is null for what it cannot read, whatever its types say. */
export interface Names {
  readonly subject: object | null | undefined
  readonly subjectaltname?: string | null | undefined
}
/** The common name; without one, the first DNS name that is a valid name of a member. */
export const nameIn = ({ subject, subjectaltname }: Names): string | null => {
  const common: unknown = subject !== null && subject !== undefined && "CN" in subject ? subject.CN : null
  if (typeof common === "string" && common !== "") return common
  const names = (subjectaltname ?? "")
    .split(", ")
    .flatMap((one) => (one.startsWith("DNS:") ? [one.slice("DNS:".length)] : []))
  return names.find(isMemberName) ?? null
}

/** Host names and addresses, as they are dialled. */
export const hostsIn = (subjectaltname: string | null | undefined): readonly string[] =>
  (subjectaltname ?? "")
    .split(", ")
    .flatMap((one) => /^(?:DNS|IP Address):(.+)$/.exec(one)?.slice(1) ?? [])
    .map((host) => (isIP(host) === 6 ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host))
