/** The files in kv/deploy, and what the pages tell people to type: every variable, command, flag, path and port is one that there is. */
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { describe, expect, test } from "vitest"
import { defaultSettings } from "../core/index.ts"
import { exitCodes } from "../interpreters/cli/runtime.ts"
import { stopMs } from "../kv/cli/serve/serve.ts"
import { DEFAULT_IDLE } from "../kv/machine/sessions.ts"
import { defaultLimits } from "../kv/server/limits/limits.ts"
import { defaultServiceSettings } from "../kv/service/index.ts"
import { decodeConfig, flagOf, settingNames, variableOf, type NodeConfig, type Setting } from "../kv/node/index.ts"
import { strangeVariables } from "../kv/node/config.ts"
import { threadAdvice } from "../kv/node/launch.ts"
import { temporaryFolder } from "./cluster.ts"
import { fencesOf, root, walk } from "./house.ts"

type Env = Readonly<Record<string, string>>
const folder = join(root, "kv/deploy")
const read = (name: string): string => readFileSync(join(folder, name), "utf8")
const decoded = (env: Env): Promise<NodeConfig> => {
  expect(strangeVariables(env)).toBeNull()
  return Effect.runPromise(decodeConfig({ flags: {}, env }))
}
const portsOf = ({ client, peer, http }: NodeConfig): readonly unknown[] => [client.port, peer.port, http?.port]
/** Every value of `name: value` in a file of that form, without its quotes. */
const all = (text: string, name: string): readonly string[] =>
  Array.from(text.matchAll(new RegExp(`^[ -]*${name}: *(.+)$`, "gm")), ([, value = ""]) =>
    value.replaceAll(/^"|"$/g, ""),
  )
const directive = (text: string, name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(text)?.[1] ?? ""

const nodeEnv: Env = Object.fromEntries(
  read("node.env")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
)
const containerEnv: Env = Object.fromEntries(
  (/^ENV (.+)$/m.exec(read("Containerfile"))?.[1] ?? "").split(" ").map((word) => word.split("=") as [string, string]),
)
const podEnv = (pod: string): Env => {
  const given = Array.from(
    read("kubernetes.yaml").matchAll(
      /^ +- name: (STEPRAFT_\w+)\n +(?:value: (.+)|valueFrom:\n.+\n +fieldPath: (.+))$/gm,
    ),
    ([, name = "", value, field]): [string, string] => [name, field === "metadata.name" ? pod : (value ?? "?")],
  )
  const id = Object.fromEntries(given)["STEPRAFT_ID"] ?? ""
  return {
    ...containerEnv,
    ...Object.fromEntries(given.map(([name, value]) => [name, value.replaceAll("$(STEPRAFT_ID)", id)])),
  }
}

describe("deployment files", () => {
  test("a machine: its environment is a node's, its unit ends and restarts a node as the node wants it", async () => {
    const unit = read("stepraft.service")
    const config = await decoded(nodeEnv)
    expect(config).toMatchObject({ id: "n1", logJson: true, http: { host: config.client.host, port: 9001 } })
    expect(Object.keys(config.peers)).toEqual(["n2", "n3"])
    // Its place in the list is where it listens: so others find it.
    expect(config.advertisePeer).toBe(`${config.peer.host}:${config.peer.port}`)
    expect(config.security).toMatchObject({ tls: { cert: "/etc/stepraft/tls/n1.crt" }, plaintext: ["clients", "http"] })
    expect(config.dataDir.startsWith(`/var/lib/${directive(unit, "StateDirectory")}/`)).toBe(true)
    expect(directive(unit, "RestartPreventExitStatus")).toBe(`${exitCodes.usage} ${exitCodes.lasting}`)
    expect(Number(directive(unit, "TimeoutStopSec")) * 1000).toBeGreaterThan(stopMs)
    expect(directive(unit, "EnvironmentFile")).toBe("/etc/stepraft/node.env")
    const [variable = "", value] = directive(unit, "Environment").split("=")
    expect(threadAdvice({ [variable]: value })).toBeNull()
    expect(unit).toMatch(/^ExecStart=\/usr\/bin\/stepraft serve$/m)
    const backup = read("stepraft-backup.service")
    expect(backup).toContain(`--endpoints ${config.client.host}:${config.client.port}`)
    // What it is where clients need TLS: the command reads just these, and trusts what the node trusts.
    const identity = Array.from(backup.matchAll(/^#Environment=(\w+)=(.+)$/gm), ([, name, at]) => [name, at])
    expect(identity.map(([name]) => name)).toEqual((["tlsCa", "tlsCert", "tlsKey"] as const).map(variableOf))
    expect(identity[0]?.[1]).toBe(config.security.tls?.ca)
    expect(all(read("prometheus.yml"), "targets").join(" ")).toContain(`${config.http?.host}:${config.http?.port}`)
  })

  test("a container: it listens where it says, and its program is the package's", async () => {
    const file = read("Containerfile")
    const config = await decoded({
      ...containerEnv,
      STEPRAFT_ID: "n1",
      STEPRAFT_PEERS: "n1=db1:8001",
      STEPRAFT_TLS_CERT: "n1.crt",
      STEPRAFT_TLS_KEY: "n1.key",
    })
    expect((/^EXPOSE (.+)$/m.exec(file)?.[1] ?? "").split(" ").map(Number)).toEqual(portsOf(config))
    expect(file).toContain(`http://127.0.0.1:${config.http?.port}/livez`)
    expect(threadAdvice(containerEnv)).toBeNull()
    expect(config.dataDir.startsWith(`${/^VOLUME (.+)$/m.exec(file)?.[1]}/`)).toBe(true)
    const described = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      readonly bin: object
      readonly engines: { readonly node: string }
    }
    expect(Object.keys(described.bin)).toEqual([/^ENTRYPOINT \["(.+)"\]$/m.exec(file)?.[1]])
    expect(described.engines.node).toContain(`>=${/^FROM node:(\d+)/m.exec(file)?.[1]}`)
  })

  test("Kubernetes: every pod is a node that the others find, with the ports and times of a node", async () => {
    const file = read("kubernetes.yaml")
    const headless = /serviceName: (\S+)/.exec(file)?.[1] ?? ""
    expect(file).toMatch(new RegExp(`name: ${headless}\nspec:.*\n  clusterIP: None\n  publishNotReadyAddresses: true`))
    // The fourth comes later, and stands in nobody's list.
    for (const pod of ["stepraft-0", "stepraft-3"]) {
      const config = await decoded(podEnv(pod))
      expect(config.id).toBe(pod)
      expect(config.advertise).toEqual({ host: `${pod}.${headless}`, port: config.client.port })
      expect(config.advertisePeer).toBe(`${pod}.${headless}:${config.peer.port}`)
      const others = Object.entries(config.peers)
      expect(others).toHaveLength(pod === "stepraft-0" ? 2 : 3)
      for (const [name, at] of others) expect(at).toEqual({ host: `${name}.${headless}`, port: config.peer.port })
      expect(all(file, "containerPort").map(Number)).toEqual(portsOf(config))
      expect(new Set(all(file, "port"))).toEqual(new Set([...portsOf(config).map(String), "http"]))
      const [data, certificates] = all(file, "mountPath")
      expect(config.dataDir.startsWith(`${data}/`)).toBe(true)
      expect(config.security.tls).toEqual({
        cert: `${certificates}/${pod}.crt`,
        key: `${certificates}/${pod}.key`,
        ca: `${certificates}/ca.crt`,
      })
    }
    expect(Number(all(file, "terminationGracePeriodSeconds")[0]) * 1000).toBeGreaterThan(stopMs)
  })

  const has = (program: string): boolean => spawnSync(program, ["--version"]).error === undefined
  test("systemd, promtool and kubectl read them, where they are installed", () => {
    const copy = temporaryFolder("stepraft-deploy-")
    const checked = (program: string, words: readonly string[]): void => {
      const { status, stdout, stderr } = spawnSync(program, words, { cwd: copy, encoding: "utf8" })
      expect({ status, said: status === 0 ? stderr.trim() : `${stdout}${stderr}` }, program).toEqual({
        status: 0,
        said: "",
      })
    }
    mkdirSync(join(copy, "deploy"))
    cpSync(join(root, "kv/alerts.yml"), join(copy, "alerts.yml"))
    const names = readdirSync(folder)
    // The program is not installed here: another one stands in for it.
    for (const name of names)
      writeFileSync(join(copy, "deploy", name), read(name).replaceAll("/usr/bin/stepraft", process.execPath))
    const units = names.filter((name) => /\.(service|timer)$/.test(name))
    expect(units).toHaveLength(3)
    if (has("systemd-analyze")) checked("systemd-analyze", ["verify", ...units.map((name) => join("deploy", name))])
    // The second as for nodes whose HTTP has certificates.
    const secured = read("prometheus.yml").replaceAll(/# (?=scheme|tls_config)/g, "")
    expect(secured).toContain("    tls_config:")
    writeFileSync(join(copy, "deploy", "secured.yml"), secured)
    writeFileSync(join(copy, "deploy", "ca.crt"), "")
    for (const name of ["prometheus", "secured"])
      if (has("promtool")) checked("promtool", ["check", "config", `deploy/${name}.yml`])
    writeFileSync(join(copy, "deploy", "kustomization.yaml"), "resources: [kubernetes.yaml]\n")
    if (has("kubectl")) checked("kubectl", ["kustomize", "deploy"])
  })
})

describe("the pages", () => {
  const sources = ["kv/cli", "spec/cli"]
    .flatMap((place) => walk(place, ".ts"))
    .map((file) => readFileSync(join(root, file), "utf8"))
  const commands = new Set(
    sources.flatMap((text) => Array.from(text.matchAll(/Command\.make\(\s*"([a-z-]+)"/g), ([, name = ""]) => name)),
  )
  const flags = new Set(
    sources
      .flatMap((text) => Array.from(text.matchAll(/\w\(\s*"([a-z][a-z-]*)"/g), ([, name = ""]) => `--${name}`))
      .concat("--help", "--version"),
  )
  const pages = ["README.md", ...["core", "interpreters", "kv", "spec"].flatMap((house) => walk(house, ".md"))]
  /** After a prompt, which may tell the machine; or after another command. */
  const typed = /(?:^(?:\w*\$ )?|[;&|] | -- )(?:npx tsx kv\/cli\.ts|node dist\/kv\/cli\.js|stepraft) (.+?)(?:\s+#.*)?$/
  const lines = pages.flatMap((page) =>
    ["sh", "console"]
      .flatMap((language) => fencesOf(page, language))
      .flatMap((block) => block.split("\n"))
      .flatMap((line) => {
        const command = typed.exec(line)?.[1]
        return command === undefined ? [] : [{ page, command }]
      }),
  )

  test("every command line of a page names a command and flags that exist, every variable is a setting", () => {
    expect(lines.length).toBeGreaterThan(15)
    const wrong = lines.filter(({ command }) => {
      const own = command.split(" -- ")[0] ?? ""
      return (
        !commands.has(own.split(" ")[0] ?? "") ||
        (own.match(/(?<![\w-])--[a-z][a-z-]+/g) ?? []).some((flag) => !flags.has(flag))
      )
    })
    expect(wrong).toEqual([])
    const others = ["LOCK", "LOCK_TOKEN", "GOLDEN", "TLS", "USER", "PASSWORD"].map((name) => `STEPRAFT_${name}`)
    const known = new Set([...settingNames.map(variableOf), ...others])
    const strange = [...walk("kv", ".md"), ...walk("kv/deploy", "")].flatMap((page) =>
      (readFileSync(join(root, page), "utf8").match(/\bSTEPRAFT_[A-Z][A-Z_]*[A-Z]\b/g) ?? [])
        .filter((name) => !known.has(name))
        .map((name) => `${page}: ${name}`),
    )
    expect(strange).toEqual([])
  })
  test("every file that a page of deployment names is there", () => {
    const named = Array.from(
      read("README.md").matchAll(/`((?:stepraft|node|kubernetes|prometheus)[\w-]*\.\w+)`/g),
      ([, name = ""]) => name,
    )
    expect(named.length).toBeGreaterThan(4)
    expect(named.filter((name) => !existsSync(join(folder, name)))).toEqual([])
  })

  test("every setting has its row, with its default", () => {
    const rows = new Map(
      Array.from(
        readFileSync(join(root, "kv/SETTINGS.md"), "utf8").matchAll(/^\| `(--[a-z-]+)` +\| (.+?) +\| (.+?) +\|$/gm),
        ([, flag = "", value = ""]) => [flag, value],
      ),
    )
    expect([...rows.keys()].toSorted()).toEqual(settingNames.map(flagOf).toSorted())
    const spelt = readFileSync(join(root, "kv/cli/serve/tuning.ts"), "utf8")
    const lacking = settingNames.filter((name) => !flags.has(flagOf(name)) && !spelt.includes(`  ${name}:`))
    expect(lacking, "settings that are no flag of serve").toEqual([])
    const defaults: Readonly<Partial<Record<Setting, number>>> = {
      ...Object.fromEntries(Object.entries(defaultSettings).filter(([name]) => rows.has(flagOf(name as Setting)))),
      writeTimeout: defaultServiceSettings.writeTimeout,
      readTimeout: defaultServiceSettings.readTimeout,
      sessionIdle: DEFAULT_IDLE,
      maxClients: defaultLimits.maxClients,
    }
    expect(Object.keys(defaults).length).toBeGreaterThan(12)
    for (const [name, value] of Object.entries(defaults))
      expect(rows.get(flagOf(name as Setting)), name).toBe(String(value))
  })
})
