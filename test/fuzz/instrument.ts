/**
 * Counts how often each block of a source is entered: `block[7]++` at the start of every function, branch, case, arm of a
 * choice and right side of && || ??. Counts, not only marks, for a loop that runs longer is news too, and their sum is the
 * work that an input caused, which no clock can disturb.
 */
import { parseSync } from "vite"

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
}
export interface Instrumented {
  readonly text: string
  /** So many blocks were numbered. */
  readonly blocks: number
  /** What the source compares with: worth putting into inputs. */
  readonly words: readonly string[]
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"

/** `first`: the number of its first block. */
export const instrument = (file: string, source: string, first: number): Instrumented => {
  const { program, errors } = parseSync(file, source)
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`)
  const words = new Set<string>()
  const inserts: { readonly at: number; readonly closes: boolean; readonly text: string }[] = []
  let next = first
  const put = (at: number, text: string, closes = false): void => void inserts.push({ at, closes, text })
  const count = (): string => `__block[${next++}]++`
  const around = (node: Node, open: string, close: string, within: () => void): void => {
    put(node.start, open)
    within()
    put(node.end, close, true)
  }
  const block = (node: Node): void => {
    if (node.type !== "BlockStatement") return around(node, `{${count()};`, "}", () => visit(node))
    put(node.start + 1, `${count()};`)
    visit(node)
  }
  const arm = (node: Node): void => around(node, `(${count()},`, ")", () => visit(node))
  const remember = (value: unknown): void => {
    if (typeof value === "string" && value.length > 0 && value.length <= 40) words.add(value)
    if (typeof value === "number" && Number.isSafeInteger(value)) words.add(String(value))
  }

  const visit = (node: Node): void => {
    const parts = node as unknown as Readonly<Record<string, unknown>>
    const counted = (key: string, how: (part: Node) => void): boolean => {
      const part = parts[key]
      if (!isNode(part)) return false
      how(part)
      return true
    }
    const others = (...taken: readonly string[]): void => {
      for (const [key, part] of Object.entries(parts)) {
        if (taken.includes(key)) continue
        if (Array.isArray(part)) part.filter(isNode).forEach(visit)
        else if (isNode(part)) visit(part)
      }
    }
    switch (node.type) {
      case "ImportDeclaration":
      case "ExportAllDeclaration":
      case "TSTypeAliasDeclaration":
      case "TSInterfaceDeclaration":
        return
      case "Literal":
        return remember(parts["value"])
      case "TemplateElement":
        return remember((parts["value"] as { readonly cooked?: string }).cooked)
      case "FunctionDeclaration":
      case "FunctionExpression":
        others("body", "returnType", "typeParameters")
        counted("body", block)
        return
      case "ArrowFunctionExpression":
        others("body", "returnType", "typeParameters")
        counted("body", parts["expression"] === true ? arm : block)
        return
      case "IfStatement":
        counted("test", visit)
        counted("consequent", block)
        if (!counted("alternate", block)) put(node.end, ` else{${count()}}`, true)
        return
      case "ForStatement":
      case "ForInStatement":
      case "ForOfStatement":
      case "WhileStatement":
      case "DoWhileStatement":
        others("body")
        counted("body", block)
        return
      case "SwitchCase": {
        counted("test", visit)
        const body = (parts["consequent"] as readonly unknown[]).filter(isNode)
        put(body[0]?.start ?? node.end, `${count()};`)
        body.forEach(visit)
        return
      }
      case "ConditionalExpression":
        counted("test", visit)
        counted("consequent", arm)
        counted("alternate", arm)
        return
      case "LogicalExpression":
        counted("left", visit)
        counted("right", arm)
        return
      default:
        others()
    }
  }
  visit(program)

  // What closes at a place stands before what opens there; otherwise in the order in which they were put.
  const sorted = inserts
    .map((insert, order) => ({ ...insert, order }))
    .toSorted((a, b) => a.at - b.at || Number(b.closes) - Number(a.closes) || a.order - b.order)
  let text = ""
  let at = 0
  for (const insert of sorted) {
    text += source.slice(at, insert.at) + insert.text
    at = insert.at
  }
  return {
    text: `const __block = globalThis.fuzzBlocks;${text}${source.slice(at)}`,
    blocks: next - first,
    words: [...words],
  }
}
