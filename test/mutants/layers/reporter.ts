/** Tells each failed test as it fails, on a line of its own, for the kill matrix. */
import type { Reporter, TestCase, TestModule } from "vitest/node"

const tell = (failed: string, detail: string, reproduce: string): void => {
  process.stdout.write(`${JSON.stringify({ failed, detail: detail.slice(0, 400) })}\n${reproduce}\n`)
}
const again = (file: string, name: string | null): string =>
  `npx vitest run --config test/vitest.config.ts --project fast ${file}${name === null ? "" : ` -t ${JSON.stringify(name)}`}`

export default class implements Reporter {
  onTestCaseResult(test: TestCase): void {
    const result = test.result()
    if (result.state !== "failed") return
    const file = test.module.relativeModuleId
    tell(`${file} > ${test.fullName}`, result.errors[0]?.message ?? "", again(file, test.name))
  }
  onTestModuleEnd(module: TestModule): void {
    const [error] = module.errors()
    if (error !== undefined) tell(module.relativeModuleId, error.message, again(module.relativeModuleId, null))
  }
  onTestRunEnd(_modules: readonly TestModule[], errors: readonly { readonly message: string }[]): void {
    const [error] = errors
    if (error !== undefined) tell("an error outside of any test", error.message, "")
  }
}
