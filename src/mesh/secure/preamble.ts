// SPDX-License-Identifier: Apache-2.0
// The first bytes of a connection, in the clear: version, fresh keys and what each end asks for. Nothing in it is believed until the
// handshake behind it, into which every byte is bound, has succeeded.
//
//   offset size field
//        0    5 "weave", as Weave Net has it, so that an old peer reports the versions instead of noise
//        5    1 lowest protocol version
//        6    1 highest protocol version      -- all versions begin with these 7 bytes
//        7    2 length of what follows, big-endian; 0: the listener takes nobody now, a refusal follows
//        9   32 ephemeral X25519 public key, the one of the Noise handshake
//       41   32 random
//       73    6 claimed peer name
//       79    1 number of passwords held, 0 .. 4; 0: connections have no password
//       80    … extensions: type (1), length (1), value; unknown types are skipped
import { ProtocolError } from "../../runtime/errors.ts";
import { type PeerName, peerNameFrom } from "../peer-name.ts";
import { concat, KEY_BYTES, utf8 } from "./sealing.ts";

export interface VersionRange {
  readonly min: number;
  readonly max: number;
}
/** 1 and 2 were Weave Net's. */
export const PROTOCOL_VERSIONS: VersionRange = { min: 3, max: 3 };

export interface Preamble {
  readonly ephemeral: Uint8Array;
  readonly random: Uint8Array;
  readonly name: PeerName;
  readonly passwords: number;
}

export const PASSWORDS_MAX = 4;
export const HEAD_BYTES = 7;
export const RANDOM_BYTES = 32;
const MAGIC = utf8("weave");
const NAME_BYTES = 6;
const FIXED_BYTES = KEY_BYTES + RANDOM_BYTES + NAME_BYTES + 1;
const BODY_BYTES_MAX = 1024;

export function encodeHead(versions: VersionRange): Uint8Array {
  return concat(MAGIC, Uint8Array.of(versions.min, versions.max));
}

/** @throws {ProtocolError} the other end is no weave peer */
export function decodeHead(head: Uint8Array): VersionRange {
  if (!MAGIC.every((byte, i) => head[i] === byte)) throw new ProtocolError("the other end does not speak weave");
  return { min: head[5]!, max: head[6]! };
}

/** The highest version both know. */
export function agreedVersion(ours: VersionRange, theirs: VersionRange): number | undefined {
  const version = Math.min(ours.max, theirs.max);
  return version >= Math.max(ours.min, theirs.min) ? version : undefined;
}

/** `[3,3]` */
export function formatVersions(versions: VersionRange): string {
  return `[${versions.min},${versions.max}]`;
}

/** The whole of it: head, length, body. */
export function encodePreamble(versions: VersionRange, preamble: Preamble): Uint8Array {
  const name = new Uint8Array(NAME_BYTES);
  const nameView = new DataView(name.buffer);
  nameView.setUint16(0, Math.floor(preamble.name / 2 ** 32));
  nameView.setUint32(2, preamble.name % 2 ** 32);
  const body = concat(preamble.ephemeral, preamble.random, name, Uint8Array.of(preamble.passwords));
  return concat(encodeHead(versions), Uint8Array.of(body.length >> 8, body.length & 0xff), body);
}

/** Length of the body from its two bytes. @throws {ProtocolError} too long */
export function preambleLength(header: Uint8Array): number {
  const length = header[0]! * 256 + header[1]!;
  if (length > BODY_BYTES_MAX) throw new ProtocolError(`a greeting of ${length} bytes is too long`);
  return length;
}

/** @throws {ProtocolError} */
export function decodePreamble(body: Uint8Array): Preamble {
  if (body.length < FIXED_BYTES) throw new ProtocolError("the greeting is too short");
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const nameAt = KEY_BYTES + RANDOM_BYTES;
  const name = peerNameFrom(view.getUint16(nameAt) * 2 ** 32 + view.getUint32(nameAt + 2));
  const passwords = view.getUint8(nameAt + NAME_BYTES);
  if (name === undefined) throw new ProtocolError("the greeting has no peer name");
  if (passwords > PASSWORDS_MAX) throw new ProtocolError(`the greeting offers ${passwords} passwords`);
  checkExtensions(body, FIXED_BYTES);
  return { ephemeral: body.slice(0, KEY_BYTES), random: body.slice(KEY_BYTES, nameAt), name, passwords };
}

/** None is known yet, so all are skipped; their lengths must fit. */
function checkExtensions(body: Uint8Array, from: number): void {
  let at = from;
  while (at + 2 <= body.length) at += 2 + body[at + 1]!;
  if (at !== body.length) throw new ProtocolError("the greeting ends inside an extension");
}
