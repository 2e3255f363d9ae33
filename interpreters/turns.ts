/**
 * Runs something in a later turn of the event loop, on any platform. Node has setImmediate; elsewhere a message to
 * oneself is used, because browsers delay timers.
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

const host = globalThis as { readonly setImmediate?: (run: () => void) => unknown }
export const nextTurn: (run: () => void) => void =
  host.setImmediate === undefined ? withMessages() : (run) => void host.setImmediate?.(run)

/** A timer that does not keep the process alive, where the platform supports that. */
export const inBackground = (timer: ReturnType<typeof setTimeout>): void => {
  const { unref } = timer as { readonly unref?: () => unknown }
  unref?.call(timer)
}
