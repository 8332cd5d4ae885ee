// SPDX-License-Identifier: Apache-2.0
// What the mesh is made of and what it stands on: who we are, and the world handed to it.
import type { Clock } from "../runtime/clock.ts";
import type { Counters } from "../runtime/counters.ts";
import type { Log } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import type { Message } from "./message.ts";
import type { PeerName } from "./peer-name.ts";
import type { DataPaths, Routes, Transport } from "./ports.ts";
import type { PeerRecord, RecordDelta } from "./record.ts";
import type { RestoredMesh } from "./restore.ts";

export interface MeshOptions {
  readonly name: PeerName;
  readonly nickname: string;
  /** Our X25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** TCP port we listen on. */
  readonly port: number;
  /** Connect to every peer the topology names, not only to the targets. */
  readonly discovery: boolean;
  /** 0: none. */
  readonly connectionLimit: number;
  /** Handshakes need a password. What was known of neighbours without one counts no more, or clear frames would go to them. */
  readonly passwordSet: boolean;
  /** Whether a host (address without port) lies in our trusted subnets. */
  trusts(ip: string): boolean;
  /** Best first. */
  readonly transports: readonly string[];
  /** Keys revoked in earlier lives; they are remembered for ever. */
  readonly revoked?: readonly string[];
  /** Our last life, when it ended in this boot. */
  readonly restored?: RestoredMesh | undefined;
}

export interface MeshPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly transport: Transport;
  readonly paths: DataPaths;
  /** What the next life wants to know; called a moment after it changed. Encode it with `encodeRestored`. */
  remember(state: RestoredMesh): void;
  /** The routes differ from before. */
  onRoutes(routes: Routes): void;
  /** How bytes become messages and deltas are applied; a simulation of many peers shares the work. */
  readonly wire?: Wire;
}

export interface Wire {
  decode(bytes: Uint8Array): Message | undefined;
  applyDelta(record: PeerRecord, delta: RecordDelta): PeerRecord | undefined;
}
