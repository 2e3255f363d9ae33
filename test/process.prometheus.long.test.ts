/**
 * kv/alerts.yml in a real Prometheus that scrapes three real nodes: alerts fire with their texts, and clear. The durations
 * of the rules are divided by 60; that they are kept as they are written is for promtool (process.alerts.long.test.ts).
 */
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { alertsFile } from "./alerts.ts"
import { freePort, launch, temporaryFolder, until, withCluster, type Cluster } from "./cluster.ts"

const hasPrometheus = (): boolean => spawnSync("prometheus", ["--version"]).status === 0

/** Minutes become seconds, hours minutes. */
const hurried = (rules: string): string =>
  rules
    .replaceAll(/\b(\d+)m\b/g, "$1s")
    .replaceAll(/\b(\d+)h\b/g, "$1m")
    .replaceAll("* 60 * 60", "* 60")

interface Firing {
  readonly name: string
  readonly state: string
  readonly summary: string
  readonly page: string
}
interface Prometheus {
  readonly alerts: () => Promise<readonly Firing[]>
  readonly count: (expression: string) => Promise<number>
}
interface Answer<A> {
  readonly data: A
}
interface Told {
  readonly state: string
  readonly labels: { readonly alertname: string }
  readonly annotations: { readonly summary: string; readonly runbook_url: string }
}

const startPrometheus = async (cluster: Cluster): Promise<Prometheus> => {
  const folder = temporaryFolder("stepraft-prometheus-")
  writeFileSync(join(folder, "alerts.yml"), hurried(readFileSync(alertsFile, "utf8")))
  writeFileSync(
    join(folder, "prometheus.yml"),
    JSON.stringify({
      global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
      rule_files: ["alerts.yml"],
      scrape_configs: [
        {
          job_name: "stepraft",
          static_configs: [{ targets: cluster.members.map(({ httpPort }) => `127.0.0.1:${httpPort}`) }],
        },
      ],
    }),
  )
  const port = await freePort()
  const server = launch("prometheus", [
    `--config.file=${join(folder, "prometheus.yml")}`,
    `--storage.tsdb.path=${join(folder, "data")}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ])
  const ask = async <A>(path: string): Promise<A> => {
    if (!server.running()) throw new Error(server.output())
    return (await (await fetch(`http://127.0.0.1:${port}${path}`)).json()) as A
  }
  await until("Prometheus is ready", async () => {
    if (!server.running()) throw new Error(server.output())
    return fetch(`http://127.0.0.1:${port}/-/ready`).then(
      ({ status }) => status === 200,
      () => false,
    )
  })
  return {
    alerts: async () =>
      (await ask<Answer<{ readonly alerts: readonly Told[] }>>("/api/v1/alerts")).data.alerts.map(
        ({ state, labels, annotations }) => ({
          name: labels.alertname,
          state,
          summary: annotations.summary,
          page: annotations.runbook_url,
        }),
      ),
    count: async (expression) => {
      const path = `/api/v1/query?query=${encodeURIComponent(`count(${expression})`)}`
      const { result } = (
        await ask<Answer<{ readonly result: readonly { readonly value: readonly [number, string] }[] }>>(path)
      ).data
      return Number(result[0]?.value[1] ?? "0")
    },
  }
}

test("alerts fire in Prometheus, say what is wrong, and clear", async (context) => {
  if (!hasPrometheus()) return context.skip("not run: there is no Prometheus here (Debian: apt-get install prometheus)")
  await withCluster({ http: true }, async (cluster) => {
    const prometheus = await startPrometheus(cluster)
    const watched = [
      "stepraftMembersDown",
      "stepraftHighNumberOfLeaderChanges",
      "stepraftNoLeader",
      "stepraftInsufficientMembers",
    ]
    const fires = async (name: string, summary: RegExp): Promise<void> => {
      const found = await until(`${name} fires`, async () => {
        const all = await prometheus.alerts()
        return all.find((one) => one.name === name && one.state === "firing") ?? false
      })
      expect(found.summary).toMatch(summary)
      expect(found.page).toBe(`kv/README.md#${name.toLowerCase()}`)
      const waited = `last_over_time(ALERTS{alertname="${name}",alertstate="pending"}[5m])`
      expect(await prometheus.count(waited), "it waited first").toBeGreaterThan(0)
    }
    await until("all are scraped", async () => (await prometheus.count('up{job="stepraft"} == 1')) === 3)
    // While the nodes start nobody leads, and on a busy machine Prometheus may see it.
    await until("nothing is wrong", async () => !(await prometheus.alerts()).some(({ name }) => watched.includes(name)))

    const leader = await cluster.leader()
    const [away = "", last = ""] = cluster.ids.filter((id) => id !== leader)
    await cluster.kill(away)
    for (let i = 0; i < 6; i++) {
      const before = await cluster.leader()
      const client = await cluster.connect(before)
      await client.call("STEPRAFT", "TRANSFER")
      client.close()
      await until("another one leads", async () => (await cluster.leader()) !== before)
    }
    await fires("stepraftHighNumberOfLeaderChanges", /changes of leader in stepraft within 15 minutes/)
    await fires("stepraftMembersDown", /A node of stepraft is down or cut off/)
    await cluster.kill(last)
    await fires("stepraftNoLeader", new RegExp(`127.0.0.1:${cluster.member(leader).httpPort} knows no leader`))
    await fires("stepraftInsufficientMembers", /Only 1 nodes of stepraft are up: no majority/)
    cluster.start(away)
    cluster.start(last)
    await until("all have cleared", async () =>
      (await prometheus.alerts()).every(({ name }) => !watched.includes(name)),
    )
  })
})
