/**
 * `npm run runtimes`: what the packed library does in Node, Bun, Deno and Chromium, as a table. The runtimes come from
 * npm (`--offline`: only those already installed), Chromium from the system. Exits with code 1 if anything failed; what
 * was not run is reported.
 */
import { makeApp } from "./app.ts"
import { rowsOf, type Cell } from "./table.ts"
import { fetchRuntimes, runtimesHere } from "./tools.ts"

if (!process.argv.includes("--offline")) fetchRuntimes()
const app = await makeApp()
const cells: Cell[] = []
console.log("| what | seen |\n| --- | --- |")
for (const { what, run } of rowsOf(runtimesHere(), app)) {
  const cell = await run()
  cells.push(cell)
  console.log(
    `| ${what} | ${cell.type === "passed" ? cell.text : `**${cell.type}**: ${cell.text.replaceAll("\n", " ")}`} |`,
  )
}
const count = (type: Cell["type"]): number => cells.filter((cell) => cell.type === type).length
console.log(`\n${count("passed")} passed, ${count("failed")} failed, ${count("not run")} not run`)
process.exit(count("failed") === 0 ? 0 : 1)
