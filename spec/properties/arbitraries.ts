/** Actions and whole scripts as arbitraries. */
import { toHex } from "../../interpreters/simulation/index.ts"
import * as fc from "fast-check"
import type { Action, HexPayload, Keep, Script } from "../../interpreters/simulation/index.ts"
import { generateScript, simplerScripts, type GenerateOptions, type Profile } from "../scripts/index.ts"

export interface ScriptArbitraryOptions extends GenerateOptions {
  /** The bytes of command number id, for a state machine that reads them. Default: zeros. */
  readonly command?: (id: number) => Uint8Array
}
/** Commands that are drawn and shrunk in addition to the script. */
export interface DrawnCommands<Command> {
  readonly commands: fc.Arbitrary<Command>
  /** The bytes of command number id. */
  readonly encode: (id: number, command: Command) => Uint8Array
}

const isScript = (value: unknown): value is Script =>
  typeof value === "object" &&
  value !== null &&
  "seed" in value &&
  "options" in value &&
  "actions" in value &&
  Array.isArray(value.actions)

const hexPayload = (id: number, bytes: Uint8Array): HexPayload => ({ hex: toHex(bytes), checksum: id })
const withPayloads = (action: Action, payloadOf: (id: number) => HexPayload): Action => {
  if (action.type !== "propose") return action
  const { type, node, id, count = 1 } = action
  return { type, node, id, payloads: Array.from({ length: count }, (_, i) => payloadOf(id + i)) }
}

/**
 * Scripts for fast-check. They are generated as the simulator generates them, with its schedules; they are shrunk by
 * leaving actions out or simplifying them, one candidate at a time.
 */
class ScriptArbitrary extends fc.Arbitrary<Script> {
  private readonly make: (seed: number) => Script
  constructor(make: (seed: number) => Script) {
    super()
    this.make = make
  }
  generate(random: fc.Random): fc.Value<Script> {
    return new fc.Value(this.make(random.nextInt(1, 0x7fffffff)), undefined)
  }
  canShrinkWithoutContext(value: unknown): value is Script {
    return isScript(value)
  }
  shrink(value: Script): fc.Stream<fc.Value<Script>> {
    return fc.stream(simplerScripts(value)).map((script) => new fc.Value(script, undefined))
  }
}

/** The drawn value of each command, by its id. */
type Drawn<Command> = ReadonlyMap<number, fc.Value<Command>>

/** The same with commands of a user: first the script is shrunk, then each command. */
class CommandScriptArbitrary<Command> extends fc.Arbitrary<Script> {
  private readonly scripts: ScriptArbitrary
  private readonly drawn: DrawnCommands<Command>
  constructor(scripts: ScriptArbitrary, drawn: DrawnCommands<Command>) {
    super()
    this.scripts = scripts
    this.drawn = drawn
  }
  generate(random: fc.Random, bias: number | undefined): fc.Value<Script> {
    const { commands, encode } = this.drawn
    const { value: script } = this.scripts.generate(random)
    const drawn = new Map<number, fc.Value<Command>>()
    const payloadOf = (id: number): HexPayload => {
      const value = commands.generate(random, bias)
      drawn.set(id, value)
      return hexPayload(id, encode(id, value.value))
    }
    return new fc.Value({ ...script, actions: script.actions.map((action) => withPayloads(action, payloadOf)) }, drawn)
  }
  canShrinkWithoutContext(value: unknown): value is Script {
    return this.scripts.canShrinkWithoutContext(value)
  }
  shrink(script: Script, context: unknown): fc.Stream<fc.Value<Script>> {
    const drawn: Drawn<Command> = context instanceof Map ? context : new Map<number, fc.Value<Command>>()
    return this.scripts
      .shrink(script)
      .map(({ value }) => new fc.Value(value, drawn))
      .join(fc.stream(this.simplerCommands(script, drawn)))
  }
  private *simplerCommands(script: Script, drawn: Drawn<Command>): Generator<fc.Value<Script>> {
    const { commands, encode } = this.drawn
    for (const [place, action] of script.actions.entries()) {
      if (action.type !== "propose") continue
      const { payloads = [] } = action
      for (const [i, { checksum: id }] of payloads.entries()) {
        const known = drawn.get(id)
        if (known === undefined) continue
        for (const simpler of commands.shrink(known.value, known.context)) {
          const shorter: Action = { ...action, payloads: payloads.with(i, hexPayload(id, encode(id, simpler.value))) }
          yield new fc.Value(
            { ...script, actions: script.actions.with(place, shorter) },
            new Map(drawn).set(id, simpler),
          )
        }
      }
    }
  }
}

const scripts = (profile: Profile, options: GenerateOptions, each: (action: Action) => Action): ScriptArbitrary =>
  new ScriptArbitrary((seed) => {
    const script = generateScript(seed, profile, options)
    return { ...script, actions: script.actions.map(each) }
  })

export const scriptArbitrary = (
  profile: Profile,
  { command, ...options }: ScriptArbitraryOptions = {},
): fc.Arbitrary<Script> =>
  scripts(profile, options, (action) =>
    command === undefined ? action : withPayloads(action, (id) => hexPayload(id, command(id))),
  )

export const commandScriptArbitrary = <Command>(
  profile: Profile,
  options: GenerateOptions,
  drawn: DrawnCommands<Command>,
): fc.Arbitrary<Script> =>
  new CommandScriptArbitrary(
    scripts(profile, options, (action) => action),
    drawn,
  )

/** One action, for your own scripts. Only a minority, the last founders, can lose anything for good. */
export const actionArbitrary = (
  profile: Profile,
  { nodes = 3 }: Pick<GenerateOptions, "nodes"> = {},
): fc.Arbitrary<Action> => {
  const founders = Array.from({ length: nodes }, (_, i) => `n${i + 1}`)
  const expendable = founders.slice(nodes - ((nodes - 1) >> 1))
  const node = fc.constantFrom("leader", "follower1", ...founders)
  const keep = fc.constantFrom<Keep>("none", "all", "torn", "random")
  const of = <T extends Action["type"]>(type: T) => fc.record({ type: fc.constant(type), node })
  const ms = fc.oneof(fc.nat(10), fc.nat(200), fc.nat(2000))
  const usual: fc.Arbitrary<Action>[] = [
    fc.record({ type: fc.constant("run" as const), ms }),
    fc.record({
      type: fc.constant("propose" as const),
      node,
      id: fc.integer({ min: 1, max: 0x3fffffff }),
      count: fc.integer({ min: 1, max: 20 }),
      bytes: fc.nat(100),
    }),
    of("read"),
    fc.record({
      type: fc.constant("transfer" as const),
      node: fc.constant("leader"),
      to: fc.constantFrom(null, "follower1", ...founders),
    }),
  ]
  const lives: fc.Arbitrary<Action>[] = [
    of("start"),
    of("start"),
    of("pause"),
    of("resume"),
    of("resume"),
    fc.record({ type: fc.constant("crash" as const), node, keep }),
  ]
  const links: fc.Arbitrary<Action>[] = [
    fc.constant<Action>({ type: "heal" }),
    of("isolate"),
    of("reconnect"),
    fc.record({ type: fc.constant("cut" as const), from: node, to: node }),
    fc.record({ type: fc.constant("partition" as const), side: fc.array(node, { minLength: 1, maxLength: 2 }) }),
  ]
  const network: fc.Arbitrary<Action>[] = [
    fc.record({
      type: fc.constant("network" as const),
      profile: fc.constantFrom(
        "reliable" as const,
        "unreliable" as const,
        "lossy" as const,
        "longReordering" as const,
        "longDelays" as const,
      ),
    }),
    fc.record({ type: fc.constant("reset" as const), a: node, b: node }),
    fc.record({ type: fc.constant("clog" as const), from: node, to: node, ms }),
    fc.record({
      type: fc.constant("skew" as const),
      node,
      offset: fc.integer({ min: -5000, max: 60_000 }),
      driftPermille: fc.integer({ min: -47, max: 47 }),
    }),
  ]
  const disks: fc.Arbitrary<Action>[] = [
    of("stallDisk"),
    of("resumeDisk"),
    of("resumeDisk"),
    of("failWrite"),
    of("failSync"),
    of("fullDisk"),
    of("freeDisk"),
    of("freeDisk"),
    fc.record({
      type: fc.constant("disk" as const),
      node,
      min: fc.constant(1),
      max: fc.integer({ min: 1, max: 1000 }),
    }),
    ...(expendable.length === 0
      ? []
      : [
          fc.record({
            type: fc.constantFrom("wipe" as const, "damage" as const),
            node: fc.constantFrom(...expendable),
          }),
        ]),
  ]
  const directories: fc.Arbitrary<Action>[] =
    expendable.length === 0
      ? []
      : [
          fc.record({
            type: fc.constantFrom("copyDirectory" as const, "swapDirectory" as const, "wipe" as const),
            node: fc.constantFrom(...expendable),
          }),
          fc.record({
            type: fc.constant("cutLog" as const),
            node: fc.constantFrom(...expendable),
            entries: fc.integer({ min: 1, max: 20 }),
          }),
        ]
  const steady = founders.slice(0, nodes - expendable.length)
  const change: fc.Arbitrary<Action> = fc
    .tuple(fc.subarray(steady, { minLength: 1 }), fc.subarray([...expendable]), fc.subarray([...expendable]))
    .map(([voters, risky, learners]) => {
      const all = [...voters, ...risky.slice(0, voters.length - 1)]
      return { type: "change", node: "leader", voters: all, learners: learners.filter((name) => !all.includes(name)) }
    })
  // A server that was removed must come back as a learner first.
  const addLearners = fc.record({
    type: fc.constant("addLearners" as const),
    node: fc.constant("leader"),
    names: fc.subarray([...founders], { minLength: 1 }),
  })
  const parts: Readonly<Record<Profile, readonly fc.Arbitrary<Action>[]>> = {
    calm: usual,
    lossy: [...usual, ...lives, ...network],
    partitions: [...usual, ...lives, ...links],
    disks: [...usual, ...lives, ...disks],
    membership: [...usual, ...lives, ...links, change, change, change, addLearners, addLearners],
    directories: [...usual, ...lives, ...directories],
    everything: [...usual, ...lives, ...links, ...network, ...disks, change, addLearners],
  }
  return fc.oneof(...parts[profile])
}
