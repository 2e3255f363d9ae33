import { issueScenarios } from "./issue.ts"
import { ownScenarios } from "./own.ts"
import type { Scenario } from "./scenario.ts"

export const scenarios: readonly Scenario[] = [...issueScenarios, ...ownScenarios]
export const findScenario = (name: string): Scenario | undefined => scenarios.find((one) => one.name === name)
