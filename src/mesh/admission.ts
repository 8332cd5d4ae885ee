// SPDX-License-Identifier: Apache-2.0
// Whether a connection whose handshake has finished may become a neighbour. A pure decision over what is known at that moment; when
// it depends on whether somebody else is still alive, the answer is to ask first.
import { formatPeer, type PeerName } from "./peer-name.ts";

export interface Claimant {
  readonly name: PeerName;
  readonly nickname: string;
  readonly uid: string;
  readonly key: string;
  readonly address: string;
}

export interface AdmissionFacts {
  readonly self: Claimant;
  readonly newcomer: Claimant;
  readonly isRevoked: boolean;
  /** Our session with that name, if any. */
  readonly session:
    | (Claimant & {
        readonly controlUp: boolean;
        readonly sameHost: boolean;
        /** The duplicate rule prefers the new connection. */
        readonly newWins: boolean;
      })
    | undefined;
  /** The reachable peer of that name according to the topology. */
  readonly elsewhere: Claimant | undefined;
  /** Asked already, and nobody answered. */
  readonly verified: boolean;
  readonly limitReached: number | undefined;
}

export type Admission =
  | { readonly verdict: "self" }
  | { readonly verdict: "take" }
  /** `isFinal`: dialling again is of no use until somebody asks for it. `refer`: others may have room. */
  | { readonly verdict: "refuse"; readonly reason: string; readonly isFinal: boolean; readonly refer?: true }
  /** Take it only if the other one does not answer; otherwise refuse it for this reason. */
  | { readonly verdict: "ask"; readonly suspicion: Suspicion; readonly reason: string };

/** Besides an honest conflict of two machines: a second connection of one process, or a leftover of a process that has been replaced. */
export type Suspicion = "duplicate" | "leftover" | "conflict";

export const SELF_REASON = "cannot connect to ourself";
const COLLISION = "peer names collision";
const CLONE = "cloned identity";
const REVOKED = "revoked key";
export const DUPLICATE_REASON = "duplicate connection";
/** Not a collision or a clone: it is mended at the other machine of the two, and the one that was right all the time has to come back by itself. */
const FINAL = [SELF_REASON, REVOKED];

/** Whether a refusal in the other end's words is one of those that dialling again cannot change. */
export function isFinalReason(reason: string): boolean {
  return FINAL.some((start) => reason.startsWith(start));
}

export function limitReason(limit: number): string {
  return `Connection limit reached (${limit})`;
}

export function decideAdmission(facts: AdmissionFacts): Admission {
  const { self, newcomer, session, elsewhere } = facts;
  if (newcomer.uid === self.uid && newcomer.key === self.key) return { verdict: "self" };
  if (facts.isRevoked) return { verdict: "refuse", reason: revokedReason(newcomer), isFinal: true };
  if (newcomer.name === self.name) return { verdict: "refuse", reason: conflictReason(self, newcomer), isFinal: false };
  if (session) return facts.verified ? { verdict: "take" } : decideAgainstSession(newcomer, session);
  if (elsewhere && !sameLife(elsewhere, newcomer) && !facts.verified) {
    return { verdict: "ask", suspicion: "conflict", reason: conflictReason(elsewhere, newcomer) };
  }
  if (facts.limitReached !== undefined)
    return { verdict: "refuse", reason: limitReason(facts.limitReached), isFinal: false, refer: true };
  return { verdict: "take" };
}

function decideAgainstSession(newcomer: Claimant, session: NonNullable<AdmissionFacts["session"]>): Admission {
  if (sameLife(session, newcomer)) {
    if (!session.controlUp || session.newWins) return { verdict: "take" };
    return { verdict: "ask", suspicion: "duplicate", reason: DUPLICATE_REASON };
  }
  const reason = conflictReason(session, newcomer);
  if (session.controlUp) {
    const isLeftover = session.sameHost && session.key === newcomer.key;
    return { verdict: "ask", suspicion: isLeftover ? "leftover" : "conflict", reason };
  }
  // Its daemon went away and comes back as another process, or its host was reset; a foreign key elsewhere must wait until it is dead.
  const isRestart = session.key === newcomer.key || session.sameHost;
  return isRestart ? { verdict: "take" } : { verdict: "refuse", reason, isFinal: false };
}

function sameLife(a: Claimant, b: Claimant): boolean {
  return a.uid === b.uid && a.key === b.key;
}

function revokedReason(peer: Claimant): string {
  return `${REVOKED}: the key of ${formatPeer(peer.name, peer.nickname)} was revoked in this network`;
}

/** Names both, so that both ends can tell their people which two machines it is about. */
export function conflictReason(known: Claimant, newcomer: Claimant): string {
  const who = formatPeer(known.name, known.nickname);
  const other = formatPeer(newcomer.name, newcomer.nickname);
  return known.key === newcomer.key
    ? `${CLONE}: ${who} at ${known.address} and ${other} at ${newcomer.address} have the same key; run 'weave reset' on one of them`
    : `${COLLISION}: ${who} at ${known.address} and ${other} at ${newcomer.address} have the same name; start one with another --name`;
}
