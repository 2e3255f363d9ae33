/** Says at the end how many of the acceptance scenarios ran and passed, by letter. */
import type { Reporter, TestModule } from "vitest/node"
import { countByLetter } from "./scenario.ids.ts"

export default class ScenarioReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const passed = new Set<string>()
    for (const module of modules)
      for (const test of module.children.allTests("passed")) {
        const id = /^[A-Z]\d+(?= )/.exec(test.name)?.[0]
        if (id !== undefined && module.moduleId.includes("/scenario.")) passed.add(id)
      }
    if (passed.size > 0) console.log(`scenarios: ${countByLetter(passed)}`)
  }
}
