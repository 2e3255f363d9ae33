/** Users, their roles, and how they prove who they are. */
export { denied, revoked } from "./denied.ts"
export { openUsers, UsersUnusable, type Grant, type Users } from "./users.ts"
