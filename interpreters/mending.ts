/** What to do about a member whose directory is lost: in one place, for the texts of all parts. */
export const MEMBER_LOST =
  "To have as many members as before, start it with an empty directory (keep the old one aside) and have it taken in by any other node: stepraft member replace NAME, STEPRAFT MEMBER REPLACE NAME at a client port, members.replace(NAME) in a program. Until then the others go on without it, as long as they are a majority."
