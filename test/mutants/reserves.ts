/** Mistakes about what many clients share: descriptors, places, time. */
import type { Seeded } from "./mutant.ts"

export const reserves: readonly Seeded[] = [
  {
    id: "own-hostile-1",
    title: "whoever gets a place of the reserve may use the store",
    patches: [
      {
        file: "kv/server/limits/reserve.ts",
        find: "known !== undefined && (always.has(known.name) || some[known.name]?.has(wordAt(words, 1)) === true)",
        replace: 'known !== undefined && words.length > 0 && wordAt(words, 1) !== "off"',
      },
    ],
  },
  {
    id: "own-hostile-2",
    title: "clients get the descriptors that storage and peers need",
    patches: [
      { file: "kv/node/descriptors.ts", find: "Math.max(FEWEST, left - shaking)", replace: "Math.max(FEWEST, limit)" },
    ],
  },
  {
    id: "own-hostile-3",
    title: "a log that finds no descriptor for its next file stops the node",
    patches: [
      {
        file: "interpreters/file/wal.ts",
        find: 'if ((isDiskFull(cause) || isOutOfDescriptors(cause)) && this.phase === "working") {',
        replace: 'if (isDiskFull(cause) && this.phase === "working") {',
      },
    ],
  },
  {
    id: "own-hostile-4",
    title: "a client that waits for its answer is taken for one that asks nothing",
    patches: [
      {
        file: "kv/server/server.ts",
        find: "if (!connection.idle) this.heard.set(socket, now)\n      else if",
        replace: "if",
      },
    ],
  },
  {
    id: "own-hostile-5",
    title: "a place of the reserve is held for ever",
    patches: [
      {
        file: "kv/server/limits/reserve.ts",
        find: "if (oldest === undefined || now - oldest.since < sureMs) return null",
        replace: "if (oldest === undefined || now - oldest.since < Infinity) return null",
      },
    ],
  },
  {
    id: "own-hostile-6",
    title: "heavy writes of all clients are let into the log at once",
    patches: [
      {
        file: "kv/server/limits/admission.ts",
        find: "return this.underWay === 0 || this.underWay + weight <= this.limit",
        replace: "return this.underWay >= 0 || weight < 0",
      },
    ],
  },
  {
    id: "own-hostile-9",
    title: "as many light writes are under way however late they are",
    patches: [
      {
        file: "kv/server/limits/admission.ts",
        find: "took > LATE_MS ? Math.max(least, this.limit - weight / 2)",
        replace: "took > Infinity ? Math.max(least, this.limit - weight / 2)",
      },
    ],
  },
  {
    id: "own-hostile-7",
    title: "a turn of one who does not read is kept for him",
    patches: [
      {
        file: "kv/server/connection.ts",
        find: "      if (!more) this.shared.admission.release(this.resume)\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-hostile-8",
    title: "a write weighs what its words are long",
    patches: [
      { file: "kv/server/limits/admission.ts", find: "return weight + found + (", replace: "return weight + 0 * (" },
    ],
  },
  {
    id: "own-hostile-10",
    title: "an address that holds all its places keeps its administrator out, too",
    patches: [
      {
        file: "kv/server/server.ts",
        find: "const giveBack = isReserved ? this.reserve.take(",
        replace: "const giveBack = isReserved && this.isFull ? this.reserve.take(",
      },
      {
        file: "kv/server/server.ts",
        find: "if (isReserved && giveBack === null) {",
        replace: "if (isReserved && giveBack == null) {",
      },
    ],
  },
  {
    id: "own-hostile-11",
    title: "whoever answers in the place of a member is believed, whatever its certificate says",
    patches: [
      {
        file: "interpreters/tcp/connection.ts",
        find: "else if (this.expected !== null && this.certified !== null && this.certified !== this.expected)",
        replace: 'else if (this.expected === "")',
      },
    ],
  },
  {
    id: "own-hostile-12",
    title: "a certificate that names no purpose is a node's",
    patches: [
      {
        file: "interpreters/tls/trust.ts",
        find: "if (purposes?.includes(SERVER_AUTH) !== true)",
        replace: "if (purposes?.includes(SERVER_AUTH) === false)",
      },
    ],
  },
  {
    id: "own-hostile-13",
    title: "a login waits behind the writes of others",
    patches: [
      {
        file: "kv/server/limits/admission.ts",
        find: '  if (work?.type === "work.write" && work.proves === true) return 0\n',
        replace: "",
      },
    ],
  },
  {
    id: "own-hostile-14",
    title: "whoever asks the HTTP port too often keeps the others from hearing whether the node lives",
    patches: [
      { file: "interpreters/node/http.ts", find: "(asked > SELDOM ? answers : 2 * answers)", replace: "answers" },
    ],
  },
  {
    id: "own-hostile-15",
    title: "one password for two names that do not exist is one check, so the time tells that they do not",
    patches: [
      {
        file: "kv/server/users/users.ts",
        find: '${digest.toString("base64")} ${name}`',
        replace: '${digest.toString("base64")}`',
      },
    ],
  },
]
