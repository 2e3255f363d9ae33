/** How soon a certificate has to be replaced. */
const DAY = 86_400_000

/** later: nothing to do yet; soon: replace it; urgent: it is about to end, or has ended. */
export type Renewal = "later" | "soon" | "urgent"
/**
 * Two weeks before the end, and urgent on the last day. Certificates that live for days only are replaced by a program,
 * in good time: for them the last third counts, and the last tenth.
 */
export const renewalOf = ({ from, ends }: { readonly from: Date; readonly ends: Date }, now: number): Renewal => {
  const [left, life] = [ends.getTime() - now, ends.getTime() - from.getTime()]
  return left <= Math.min(DAY, life / 10) ? "urgent" : left <= Math.min(14 * DAY, life / 3) ? "soon" : "later"
}
