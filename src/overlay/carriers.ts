// SPDX-License-Identifier: Apache-2.0
// What the overlay needs of the machine below it: the kernel switch, the user-space sleeve, WireGuard. `host` fits by shape.
import type { PeerName, ShortId } from "../mesh/peer-name.ts";
import type { Ip } from "../net/ip.ts";
import type { DatapathPlan, Path } from "./plan.ts";

export interface Switch {
  apply(plan: DatapathPlan): { readonly changed: number };
  /** One probe over one path; the reply comes back over the same. `frameBytes` pads it, Ethernet header included. */
  probe(neighbour: ShortId, path: Path, sequence: number, frameBytes?: number): void;
  /** Frames moved so far, probes included. */
  activity(neighbour: ShortId): { readonly received: number; readonly sent: number; readonly sentBytes: number };
  /** What the kernel holds, perhaps left by an earlier daemon; undefined: nothing yet. */
  read(): DatapathPlan | undefined;
}

export type SleeveCipher = "aes256gcm" | "chacha20poly1305" | "none";

export interface SleeveSession {
  readonly neighbour: ShortId;
  /** What the other end writes into its datagrams to us; unique, random, not 0. */
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** 32 bytes both ends share, taken over; undefined: clear. */
  readonly secret: Uint8Array | undefined;
  /** One end is, the other is not. */
  readonly initiator: boolean;
  readonly cipher: SleeveCipher;
  /** Where the neighbour is presumed; authentic datagrams move it. */
  readonly address: Ip;
  readonly port: number;
}
export interface SleeveCarrier {
  /** What this machine can do, best first. */
  readonly ciphers: readonly SleeveCipher[];
  openSession(session: SleeveSession): void;
  closeSession(localIndex: number): void;
}

export interface WireguardPeer {
  readonly name: PeerName;
  readonly inside: Ip;
  /** What both ends agreed on; undefined: they have not spoken yet in our life, and what the kernel holds stays. */
  readonly agreed:
    | {
        readonly publicKey: Uint8Array;
        /** 32 bytes; undefined: that of before stays. */
        readonly presharedKey: Uint8Array | undefined;
        /** undefined: it will come to us. */
        readonly endpoint: { readonly address: Ip; readonly port: number } | undefined;
        /** We are behind a NAT whose mapping has to be kept open. */
        readonly keepalive: boolean;
      }
    | undefined;
}
export interface WireguardCarrier {
  /** Ours, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** UDP port we listen on. */
  readonly port: number;
  /** Address of a peer inside, from the key of its identity. */
  insideOf(identity: Uint8Array): Ip;
  /** Everybody who may use it; the others are removed. */
  setPeers(peers: readonly WireguardPeer[]): void;
}

/** Primitives for what both ends derive. */
export interface PathSealing {
  /** Unpredictable. */
  random(length: number): Uint8Array;
  /** 64 bytes. */
  blake2b(message: Uint8Array): Uint8Array;
  wipe(bytes: Uint8Array): void;
}
