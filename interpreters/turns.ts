/**
 * A later turn of the event loop, wherever this runs. Node has setImmediate; elsewhere a message to oneself does it,
 * because browsers hold back timers.
 */
const withMessages = (): ((run: () => void) => void) => {
  const waiting: (() => void)[] = []
  const { port1, port2 } = new MessageChannel()
  port1.addEventListener("message", () => waiting.shift()?.())
  port1.start()
  return (run) => {
    waiting.push(run)
    port2.postMessage(null)
  }
}

export const nextTurn: (run: () => void) => void = typeof setImmediate === "function" ? (run) => void setImmediate(run) : withMessages()

/** A timer that keeps no process alive, where that can be said. */
export const inBackground = (timer: ReturnType<typeof setTimeout>): void => {
  if (typeof timer === "object") timer.unref()
}
