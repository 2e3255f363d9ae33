/** `elect` and `lock` on a replica, with Effect: the errors in the type, the lease bound to a scope. */
import { scopedLeases } from "../lease/effect.ts"
import { LeaseRefused, type LeasesEffect, type LeaseTable } from "../lease/index.ts"
import { ReplicaError } from "./errors.ts"

export const leasesEffect = (replica: LeaseTable): LeasesEffect<LeaseRefused | ReplicaError> =>
  scopedLeases(
    replica,
    (thrown): thrown is LeaseRefused | ReplicaError => thrown instanceof LeaseRefused || thrown instanceof ReplicaError,
  )
