import type { Effect, Event, Recovered, Settings, State } from "./types.ts"

export declare const initialState: (settings: Settings, recovered: Recovered) => State
export declare const step: (state: State, event: Event) => readonly [State, readonly Effect[]]
export declare const stepAll: (state: State, events: readonly Event[]) => readonly [State, readonly Effect[]]
/** The same reducer over a state that the caller owns: `state` is changed in place by every `run`. */
export interface Runner {
  readonly state: State
  readonly run: (events: readonly Event[]) => readonly Effect[]
}
export declare const inPlace: (state: State) => Runner
