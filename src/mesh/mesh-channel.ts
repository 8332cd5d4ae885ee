// SPDX-License-Identifier: Apache-2.0
// What peers say to each other over the mesh rather than over their own connection: the mesh's own unicast channel. Messages are
// MessagePack arrays that begin with a number; numbers are append-only, unknown ones are skipped.
import { pack, unpack } from "./codec.ts";
import { readInteger, readList, readWords } from "./fields.ts";
import type { PeerName } from "./peer-name.ts";
import { packUid, readUid } from "./record-codec.ts";

export const MESH_CHANNEL = "mesh";
const ASK_ALIVE = 1; // [1, token]
const ALIVE = 2; // [2, token, uid]
const CONFLICT = 3; // [3, reason]
const PATH_DOWN = 4; // [4]
const REASON_MAX = 512;

export const askAlive = (token: number): Uint8Array => pack([ASK_ALIVE, token]);
export const alive = (uid: string, token: number): Uint8Array => pack([ALIVE, token, packUid(uid)]);
/** Another machine claims the receiver's name. */
export const conflict = (reason: string): Uint8Array => pack([CONFLICT, reason.slice(0, REASON_MAX)]);
/** The sender's probes to the receiver are no longer answered, and their own connection may be cut too. */
export const pathDown = (): Uint8Array => pack([PATH_DOWN]);

export interface MeshListener {
  asked(by: PeerName, token: number): void;
  alive(peer: PeerName, uid: string, token: number): void;
  conflict(reason: string): void;
  pathDown(peer: PeerName): void;
}

/** @throws {ProtocolError} */
export function hear(listener: MeshListener, from: PeerName, payload: Uint8Array): void {
  const [kind, value, more] = readList(unpack(payload), 16, "mesh message");
  switch (readInteger(kind, 0xffff, "mesh message number")) {
    case ASK_ALIVE:
      listener.asked(from, readToken(value));
      return;
    case ALIVE:
      listener.alive(from, readUid(more), readToken(value));
      return;
    case CONFLICT:
      listener.conflict(readWords(value, "reason", REASON_MAX));
      return;
    case PATH_DOWN:
      listener.pathDown(from);
      return;
    default: // of a later version
  }
}

function readToken(value: unknown): number {
  return readInteger(value, 2 ** 32 - 1, "token");
}
