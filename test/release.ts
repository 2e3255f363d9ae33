/** `tsx test/release.ts TAG OWNER/NAME`: may this commit be published from there? Says what to do if not. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { root } from "./house.ts"

interface Described {
  readonly version: string
  readonly repository?: { readonly url: string }
}
/** `place`: the repository that publishes. Each is a line that says what to do. */
export const problemsOf = ({ version, repository }: Described, tag: string, place: string): readonly string[] => {
  const url = `git+https://github.com/${place}.git`
  return [
    ...(tag === `v${version}`
      ? []
      : [
          `The tag is ${tag}, and package.json has version ${version}. Tag v${version}, or change the version and tag that commit.`,
        ]),
    // npm compares it with where its statement comes from, and refuses a package that names another place, or none.
    ...(repository?.url === url
      ? []
      : [
          `package.json names ${repository === undefined ? "no repository" : repository.url}, and this is ${place}. Run npm pkg set repository.type=git repository.url=${url}, commit, and tag that commit.`,
        ]),
  ]
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [tag = "", place = ""] = process.argv.slice(2)
  const problems = problemsOf(JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Described, tag, place)
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length === 0 ? 0 : 1
}
