/** The runtimes that are here without a network. What is not here is skipped by name, and counts as nothing. */
import { expect, test } from "vitest"
import { full } from "./cluster.ts"
import { makeApp } from "./runtimes/app.ts"
import { rowsOf } from "./runtimes/table.ts"
import { runtimesHere } from "./runtimes/tools.ts"

const rows = full ? rowsOf(runtimesHere(), await makeApp()) : []
for (const { what, run } of rows) {
  test(what, async (context) => {
    const cell = await run()
    if (cell.type === "not run") context.skip(`not run: ${cell.text}`)
    expect(cell).toEqual({ type: "passed", text: cell.text })
  })
}
