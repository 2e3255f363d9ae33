/**
 * Preloaded into each node: every pair of peers speaks through a proxy of its own, so every node has other addresses for
 * the same peers. CHAOS_PEERS holds the `--peers` of each node, by its `--id`.
 */
const after = (flag) => process.argv.indexOf(flag) + 1
const own = JSON.parse(process.env["CHAOS_PEERS"] ?? "{}")[process.argv[after("--id")]]
if (after("--peers") === 0 || own === undefined) throw new Error("own-peers.mjs: no --peers to replace, or none in CHAOS_PEERS to replace them with")
process.argv[after("--peers")] = own
// What a node would tell of itself leads past the proxies.
process.argv.push("--advertise-peer", "none")
