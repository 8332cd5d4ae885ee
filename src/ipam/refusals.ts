// SPDX-License-Identifier: Apache-2.0
// What clients are told when they do not get an address: what, why, whom it hangs on, what next.
import { UserError } from "../runtime/errors.ts";
import { type Range, sizeOf, toIp } from "./range.ts";
import { rangeText } from "./ring-keeper.ts";

/** @param where `on this host`, `on peer …` */
export function heldBy(address: number, holder: string, where: string): UserError {
  const hint = "detach it there, or choose another address";
  return new UserError("conflict", `cannot claim ${toIp(address)}: it is held by '${holder}' ${where}`, hint);
}

export function spaceFull(range: Range): UserError {
  return new UserError(
    "conflict",
    `no address is free in ${rangeText(range)}: all ${sizeOf(range)} are in use`,
    "detach something there, or choose a larger subnet or range",
  );
}

/** @param owner as people call it */
export function ownerAway(address: number, owner: string): UserError {
  return new UserError(
    "unavailable",
    `cannot claim ${toIp(address)}: its space belongs to peer ${owner}, which cannot be reached`,
    "wait for it, or if it will not come back: weave rmpeer",
  );
}

export function leaving(): UserError {
  return new UserError("unavailable", "this host is leaving the network");
}

/** @param consensus undefined: there is a ring  @param silent peers that did not answer, as people call them */
export function tooLate(
  what: string,
  deadlineMs: number,
  consensus: { readonly quorum: number; readonly known: number } | undefined,
  silent: readonly string[],
): UserError {
  const within = `${what} within ${Math.round(deadlineMs / 1000)} s`;
  if (consensus) {
    return new UserError(
      "unavailable",
      `${within}: the peers have not agreed yet how to share addresses out (quorum: ${consensus.quorum}, known: ${consensus.known})`,
      "start the others, or see --ipalloc-init",
    );
  }
  if (silent.length === 0) return new UserError("unavailable", within, "see 'weave status ipam'");
  return new UserError(
    "unavailable",
    `${within}: no answer from ${silent.join(", ")}, who have space there`,
    "if they will not come back: weave rmpeer",
  );
}
