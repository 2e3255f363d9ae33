/** The Redis version whose commands and texts this server follows: clients decide by it what they may use. */
export const redisVersion = "7.0.15"
