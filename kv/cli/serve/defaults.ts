/** In a file of their own, so that the help can show the defaults without loading what uses them. */
export const clusterDefaults = {
  nodes: 3,
  host: "127.0.0.1",
  port: 7001,
  peerOffset: 1_000,
  httpOffset: 2_000,
} as const
