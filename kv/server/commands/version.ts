/** The Redis whose commands and texts this server follows: clients decide by it what they may ask. */
export const redisVersion = "7.0.15"
