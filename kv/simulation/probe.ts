/** A command that tests progress: it changes nothing that a client could see. */
import { encodeCommand } from "../machine/index.ts"
import { simulatedSecret } from "./servers/machine.ts"

export const loadCommand = (id: number): Uint8Array =>
  encodeCommand({ type: "OpenSession", owner: "progress", secret: simulatedSecret(`progress ${id}`) })
