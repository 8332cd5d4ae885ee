// SPDX-License-Identifier: Apache-2.0
// The record of one address of the host on the bridge, and what expose needs from the machine. The state says what a crash interrupted:
// `exposing` is undone at the next start (nobody got an answer), `hiding` is completed.
import type { Ruleset } from "../firewall/ruleset.ts";
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";

/** Owner of the host's own addresses, as `ps` and the address book show it. */
export const EXPOSE_OWNER = "weave:expose";

export interface Exposure {
  readonly cidr: Cidr;
  /** False with `--without-masquerade`: containers and outside see each other's real addresses. */
  readonly masquerade: boolean;
  readonly state: "exposing" | "exposed" | "hiding";
}

/** Durable record of what is exposed. Every call is on disk when it returns. */
export interface ExposureJournal {
  exposures(): readonly Exposure[];
  /** Inserts, or replaces the one with the same address. */
  put(exposure: Exposure): void;
  drop(address: Ip): void;
}

/** The bridge as an interface of the host. */
export interface BridgeInterface {
  readonly name: string;
  /** undefined: the bridge does not exist now. */
  mac(): Mac | undefined;
  /** Returns what had to be changed. */
  ensureAddress(cidr: Cidr): readonly string[];
  /** Nothing happens when it is gone already. */
  removeAddress(cidr: Cidr): void;
  /** Gratuitous ARP and unsolicited neighbour advertisement; best effort. */
  announce(addresses: readonly Cidr[]): void;
}

/** The host's packet filter. */
export interface Firewall {
  /** Makes our table what `ruleset` says; returns what had to be changed.
   *  @throws {UserError} unavailable: the library is not installed and the ruleset is not empty */
  apply(ruleset: Ruleset): Promise<readonly string[]>;
  /** Other people's chains that drop forwarded traffic; empty when that cannot be told. */
  droppingChains(): Promise<readonly string[]>;
}
