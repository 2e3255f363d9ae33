/** The roles of users. Each role allows what the ones before it allow, and more. */
export type UserRole = "read" | "write" | "admin"
export const ROLES: readonly UserRole[] = ["read", "write", "admin"]
export const suffices = (role: UserRole, needed: UserRole): boolean => ROLES.indexOf(role) >= ROLES.indexOf(needed)
