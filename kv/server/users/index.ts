/** Users, their roles, and their logins. */
export { certificateNote, denied, revoked } from "./denied.ts"
export { openUsers, UsersUnusable, type Grant, type Users } from "./users.ts"
