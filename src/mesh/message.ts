// SPDX-License-Identifier: Apache-2.0
// What two neighbours say to each other on their control connection. On the wire each is a MessagePack array: its number,
// then its fields in the order given here. Numbers are append-only. Unknown numbers and surplus fields are skipped, so
// peers of different versions live in one mesh.
import type { PeerName } from "./peer-name.ts";
import type { PeerRecord, RecordDelta } from "./record.ts";

/** First message on every connection: it was admitted. Until it came the connection is not listed in our record. */
export interface Welcome {
  readonly type: "welcome";
  /** What the sender holds of the receiver's record, so that a restarted peer can go above its last life; version 0: nothing. */
  readonly knownUid: string;
  readonly knownVersion: number;
}

/** A summary of all that is gossiped. Equal states have equal digests. */
export interface Digest {
  readonly type: "digest";
  /** Two 32-bit sums over the records of all reachable peers. */
  readonly records: readonly [number, number];
  readonly peers: number;
  /** The receiver shall answer with its list if it differs, whoever knows more peers. */
  readonly askList: boolean;
  /** 32-bit hash of the set of revoked keys. */
  readonly revoked: number;
  /** Channel name and 32-bit hash of its digest. */
  readonly channels: readonly (readonly [string, number])[];
}

export interface RecordVersion {
  readonly name: PeerName;
  readonly uid: string;
  readonly version: number;
}

export interface Referral {
  readonly name: PeerName;
  /** `ip:port` it can be dialled at. */
  readonly address: string;
}

export type Message =
  | Welcome // 1
  | Digest // 2
  /** All the sender has, by version: the receiver answers with `records`. */
  | { readonly type: "list"; readonly versions: readonly RecordVersion[] } // 3
  /** `want`: names whose records the sender lacks; answered with `records`. */
  | { readonly type: "records"; readonly records: readonly PeerRecord[]; readonly want: readonly PeerName[] } // 4
  /** A peer's own change, along the broadcast tree of `root` (the peer itself, or who took it in). */
  | { readonly type: "delta"; readonly root: PeerName; readonly delta: RecordDelta } // 5
  /** As `delta`, for small records: the record whole. */
  | { readonly type: "record"; readonly root: PeerName; readonly record: PeerRecord } // 6
  | { readonly type: "ping"; readonly token: number } // 7
  | { readonly type: "pong"; readonly token: number } // 8
  /** Whether the sender's path probes to the receiver are answered. `ask`: the receiver shall say the same of its own. */
  | { readonly type: "path"; readonly up: boolean; readonly ask: boolean } // 9
  /** The sender got no answer from `peer`; the receiver looks for itself. */
  | { readonly type: "suspect"; readonly peer: PeerName } // 10
  /** The sender ends. `comesBack`: soon, its kernel goes on forwarding; otherwise for good. */
  | { readonly type: "leave"; readonly comesBack: boolean } // 11
  /** To every peer. `source`, `uid` and `sequence` make it unique. */
  | {
      readonly type: "broadcast";
      readonly root: PeerName;
      readonly source: PeerName;
      readonly uid: string;
      readonly sequence: number;
      readonly channel: string;
      readonly payload: Uint8Array;
    } // 12
  /** To one peer, hop by hop. */
  | {
      readonly type: "unicast";
      readonly source: PeerName;
      readonly destination: PeerName;
      readonly hopsLeft: number;
      readonly channel: string;
      readonly payload: Uint8Array;
    } // 13
  /** The sender's digest of one channel: answered with what it lacks. */
  | { readonly type: "channel-digest"; readonly channel: string; readonly digest: Uint8Array } // 14
  /** What the receiver lacked, and the sender's digest after it. */
  | { readonly type: "channel-repair"; readonly channel: string; readonly payload: Uint8Array; readonly digest: Uint8Array } // 15
  /** Public keys (64 hex digits) that are refused everywhere, for ever. */
  | { readonly type: "revoked"; readonly keys: readonly string[] } // 16
  /** The sender is full and refuses the connection; these may have room. */
  | { readonly type: "refer"; readonly peers: readonly Referral[] } // 17
  /** Between the data paths of both ends; only they know what it says. */
  | { readonly type: "paths"; readonly payload: Uint8Array }; // 18

/** 4-byte length of the transport and 16-byte seal are not counted in it. Larger states travel in several messages. */
export const MESSAGE_LIMIT_BYTES = 1024 * 1024;
