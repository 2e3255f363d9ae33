/** Users, their roles, and their logins. */
export { suffices, type UserRole } from "./roles.ts"
export { openUsers, UsersUnusable, type Grant, type Users } from "./users.ts"
