/** What to do about a member whose directory is lost: written once, for the texts of all parts. */
export const LOST_MEMBER_ADVICE =
  "To have as many members as before, start it with an empty directory (keep the old one aside) and let any other node make it a member again: stepraft member replace NAME, STEPRAFT MEMBER REPLACE NAME at a client port, members.replace(NAME) in a program. Until then the others go on without it, as long as they are a majority."
