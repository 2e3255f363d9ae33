/** A module of Node, or undefined in a browser. Not an import: a browser cannot resolve one, and a bundler would follow it. */
export const builtin = (name: string): unknown => {
  const { process: host } = globalThis as {
    readonly process?: { readonly getBuiltinModule?: (name: string) => unknown }
  }
  return host?.getBuiltinModule?.(name)
}
