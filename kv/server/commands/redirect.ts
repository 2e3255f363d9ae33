/** Where a node that does not lead redirects its clients, if it is configured to. */
import { errorReply } from "../../machine/reply.ts"
import type { Reply } from "../../types.ts"
import type { Context } from "../contract.ts"
import { keySlot } from "./keyslot.ts"

/** MOVED, if this command should go to the leader and this node is configured to redirect. */
export const movedReply = ({ host, client }: Context, key: Uint8Array | undefined): Reply | null => {
  if (!host.redirect || key === undefined || client.consistency === "local") return null
  const leader = host.service.leader()
  if (leader === null || leader.id === host.self) return null
  return errorReply("MOVED", `${keySlot(key)} ${leader.host}:${leader.port}`)
}
