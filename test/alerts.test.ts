/** Whoever is woken by an alert finds its page; whatever alerts and dashboard ask for, a node answers. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { dashboardExpressions, readAlerts } from "./alerts.ts"
import { until } from "./cluster.ts"
import { root } from "./house.ts"
import { withLocalCluster } from "./node.help.ts"

const alerts = readAlerts()

test("every alert has a summary, a severity, and a page that says what it means, how to see it and what to do", () => {
  expect(alerts.length).toBeGreaterThan(15)
  const pages = new Map<string, string>()
  for (const { name, severity, summary, runbook } of alerts) {
    expect(["warning", "critical"]).toContain(severity)
    expect(summary, name).toMatch(/\{\{ \$labels\.(instance|job) \}\}/)
    const [page = "", anchor = ""] = runbook.split("#")
    const text = readFileSync(join(root, page), "utf8")
    // The anchor of a heading, as those who show these pages make it.
    const section = text.split(/^### /m).find(
      (part) =>
        (part.split("\n")[0] ?? "")
          .toLowerCase()
          .replaceAll(/[^\w -]/g, "")
          .replaceAll(" ", "-") === anchor,
    )
    expect(section, `${name}: ${runbook}`).toMatch(
      /^(\w+)\n\n- \*\*Means\*\*: .+\n- \*\*See it\*\*: .+\n- \*\*Do\*\*: .+\n/,
    )
    pages.set(anchor, name)
    expect(anchor).toBe(name.toLowerCase())
  }
  const headings = Array.from(
    readFileSync(join(root, "kv/README.md"), "utf8").matchAll(/^### (stepraft\w+)$/gm),
    ([, name = ""]) => name,
  )
  expect(headings.toSorted((a, b) => a.localeCompare(b))).toEqual(
    [...new Set(pages.values())].toSorted((a, b) => a.localeCompare(b)),
  )
})

test("every metric of alerts, dashboard and pages is one that a node tells", async () => {
  await withLocalCluster(
    1,
    async (cluster) => {
      await cluster.startAll()
      const leader = await cluster.leader()
      const answer = await (await fetch(`http://${leader.status().http ?? "none"}/metrics`)).text()
      const told = new Set(
        Array.from(answer.matchAll(/^# TYPE (\w+) (\w+)$/gm), ([, name = "", type = ""]) =>
          type === "histogram" ? [name, `${name}_bucket`, `${name}_count`, `${name}_sum`] : [name],
        ).flat(),
      )
      const page = readFileSync(join(root, "kv/README.md"), "utf8")
      const texts = [...alerts.map(({ expr }) => expr), ...dashboardExpressions(), page]
      const asked = new Set(
        texts
          .flatMap((text) => text.match(/\b(?:stepraft|process)_[a-z_]+/g) ?? [])
          .filter((name) => name !== "stepraft_"),
      )
      expect(asked.size).toBeGreaterThan(25)
      expect([...asked].filter((name) => !told.has(name))).toEqual([])
      const file = readFileSync(join(root, "kv/deploy/kubernetes.yaml"), "utf8")
      const probed = Array.from(file.matchAll(/path: (\/\S+)$/gm), ([, path = ""]) => path)
      expect(probed).toHaveLength(2)
      for (const path of probed)
        await until(
          `${path} says yes`,
          async () => (await fetch(`http://${leader.status().http ?? "none"}${path}`)).status === 200,
        )
    },
    { http: { host: "127.0.0.1", port: 0 } },
  )
})
