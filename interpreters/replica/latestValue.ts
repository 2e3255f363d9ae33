/** A changing value for any number of readers: each sees the current value, and then the newest one each time it asks. */
export interface LatestValue<A> {
  readonly tell: (value: A) => void
  readonly follow: () => AsyncIterable<A>
  readonly end: () => void
}

export const latestValue = <A>(initial: A): LatestValue<A> => {
  let current: { readonly value: A; readonly number: number } = { value: initial, number: 1 }
  let ended = false
  /** Readers that have seen the current value. */
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const look of Array.from(waiting)) look()
  }
  const reader = (): AsyncIterator<A> => {
    let seen = 0
    let left = false
    return {
      next: () =>
        new Promise((resolve) => {
          const look = (): void => {
            if (!left && !ended && current.number === seen) return void waiting.add(look)
            waiting.delete(look)
            if (left || ended) return resolve({ done: true, value: undefined })
            seen = current.number
            resolve({ done: false, value: current.value })
          }
          look()
        }),
      return: () => {
        left = true
        wake()
        return Promise.resolve({ done: true, value: undefined })
      },
    }
  }
  return {
    tell: (value) => {
      current = { value, number: current.number + 1 }
      wake()
    },
    follow: () => ({ [Symbol.asyncIterator]: reader }),
    end: () => {
      ended = true
      wake()
    },
  }
}
