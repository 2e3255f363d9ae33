/**
 * `npm run house` prints it, and `npm run house -- FOLDER` that of another checkout, which is built.
 * How many files a proposal and a vote pass through, seen on three real nodes: of each, every file of the house in which
 * a function ran meanwhile (V8 counts calls), whatever the timers did beside it. Eight trials; what ran in all of them.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { startCluster, temporaryFolder, until, type Cluster } from "./cluster.ts"
import { HOUSES, root } from "./house.ts"

/** Runs in the node: at each SIGUSR2 it tells which files were entered since the last one. */
const counting = (program: string): string => `
import { Session } from "node:inspector"
import { renameSync, writeFileSync } from "node:fs"
const session = new Session()
session.connect()
session.post("Profiler.enable")
session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false })
const file = process.argv[process.argv.indexOf("--data") + 1] + ".entered"
process.on("SIGUSR2", () =>
  session.post("Profiler.takePreciseCoverage", (error, { result }) => {
    const entered = result.flatMap(({ url, functions }) =>
      url.startsWith("file://${program}") && functions.some(({ functionName, ranges }) => functionName !== "" && ranges[0].count > 0)
        ? [url.slice(${`file://${program}`.length})] : [])
    writeFileSync(file + ".new", JSON.stringify(entered))
    renameSync(file + ".new", file)
  }))
`
const TRIALS = 8

const entered = async (cluster: Cluster, id: string): Promise<readonly string[]> => {
  const file = `${cluster.member(id).data}.entered`
  cluster.signal(id, "SIGUSR2")
  await until(`${id} tells`, () => existsSync(file))
  const told = JSON.parse(readFileSync(file, "utf8")) as readonly string[]
  rmSync(file)
  return told
}
const common = (trials: readonly (readonly string[])[]): readonly string[] =>
  [...new Set(trials[0])].filter((file) => trials.every((trial) => trial.includes(file))).toSorted()

export interface Paths {
  /** A SET at a follower, from its socket until it is answered: files entered at any of the three nodes. */
  readonly proposal: readonly string[]
  /** The leader is killed: files entered at the one that votes, until another one leads and it follows. */
  readonly vote: readonly string[]
}
/** `folder`: a built checkout. */
export const readPaths = async (folder: string): Promise<Paths> => {
  const program = join(folder, "dist/")
  // The program is bundled; what it is made of stands beside it, file by file.
  const entry = join(temporaryFolder(), "entry.mjs")
  writeFileSync(entry, `import { main } from "file://${program}kv/cli/main.js"\nmain("${program}kv/cli.js")\n`)
  const proposals: (readonly string[])[] = []
  const votes: (readonly string[])[] = []
  const cluster = await startCluster({
    program: ["--import", `data:text/javascript,${encodeURIComponent(counting(program))}`, entry],
  })
  try {
    for (let trial = 0; trial < TRIALS; trial++) {
      const leader = await cluster.leader()
      const [follower = "", other = ""] = cluster.ids.filter((id) => id !== leader)
      const client = await cluster.connect(follower)
      await client.call("SET", "a", "0")
      await cluster.settled()
      for (const id of cluster.ids) await entered(cluster, id)
      await client.call("SET", "a", "1")
      proposals.push((await Promise.all(cluster.ids.map((id) => entered(cluster, id)))).flat())
      client.close()
      // The others have nothing to say to clients meanwhile.
      await sleep(500)
      for (const id of [follower, other]) await entered(cluster, id)
      await cluster.kill(leader)
      const next = await cluster.leader()
      const voter = next === follower ? other : follower
      votes.push(await entered(cluster, voter))
      cluster.start(leader)
      await cluster.settled()
    }
  } finally {
    await cluster.dispose()
  }
  // The test asks for the status meanwhile: only that enters kv.
  return { proposal: common(proposals), vote: common(votes).filter((file) => !file.startsWith("kv/")) }
}

export const pathsText = ({ proposal, vote }: Paths): string =>
  Object.entries({ "a proposal at a follower": proposal, "a vote": vote })
    .map(([what, files]) => {
      const parts = HOUSES.map((house) => [house, files.filter((file) => file.startsWith(`${house}/`)).length] as const)
      const told = parts.filter(([, count]) => count > 0).map(([house, count]) => `${house} ${count}`)
      return `%% ${what}: ${files.length} files (${told.join(", ")})`
    })
    .join("\n")

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(pathsText(await readPaths(resolve(process.argv[2] ?? root))))
