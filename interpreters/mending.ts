/** What to do about a member whose directory is lost: in one place, for the texts of all parts. */
export const MEMBER_LOST =
  "This version has no command that takes a member in anew. The others go on without it as long as they are a majority; to have as many as before, set up a new cluster and copy the data into it."
