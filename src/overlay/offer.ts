// SPDX-License-Identifier: Apache-2.0
// What the data paths of two neighbours say to each other on their control connection, sealed and authenticated by it. On the wire each is a
// MessagePack array: its number, then its fields in the order given here. Numbers are append-only; unknown ones and surplus fields are
// skipped, so versions mix.
import { pack, unpack } from "../mesh/codec.ts";
import { readBoolean, readBytes, readInteger, readList, readText } from "../mesh/fields.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import { ProtocolError } from "../runtime/errors.ts";
import type { PathKind } from "./plan.ts";

export interface WireguardOffer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** UDP. */
  readonly port: number;
}
/** First on every connection: what the sender can do. */
export interface Offer {
  readonly type: "offer";
  /** The receiver's address as the sender sees it, so that it notices a NAT on the way. */
  readonly seen: Ip;
  /** Largest packet of the sender's containers. */
  readonly mtuBytes: number;
  /** Ciphers of its sleeve, best first; none: it has no sleeve. */
  readonly ciphers: readonly string[];
  readonly wireguard: WireguardOffer | undefined;
}

export type PathMessage =
  | Offer // 1
  /** The sender expects sleeve datagrams with this index. Both ends' indices and nonces go into the keys. `isWanted`: it needs the sleeve
   *  itself; otherwise it answers an end that does. */
  | { readonly type: "sleeve-open"; readonly index: number; readonly nonce: Uint8Array; readonly isWanted: boolean } // 2
  /** The sender does not need the sleeve; it goes when neither end does. */
  | { readonly type: "sleeve-idle" } // 3
  /** The receiver's WireGuard key is known to the sender's kernel: a handshake would be answered. */
  | { readonly type: "wireguard-ready" } // 4
  /** Whether a way works, as the sender sees it. */
  | { readonly type: "state"; readonly kind: PathKind; readonly isUp: boolean }; // 5

export const SLEEVE_NONCE_BYTES = 16;
const PATH_KINDS: readonly PathKind[] = ["fastdp", "wireguard", "sleeve"];
const CIPHERS_MAX = 16;
const KEY_BYTES = 32;

export function encodePathMessage(message: PathMessage): Uint8Array {
  return pack(fieldsOf(message));
}

function fieldsOf(message: PathMessage): unknown[] {
  switch (message.type) {
    case "offer": {
      const { seen, mtuBytes, ciphers, wireguard } = message;
      return [1, seen, mtuBytes, ciphers, wireguard ? [wireguard.publicKey, wireguard.port] : null];
    }
    case "sleeve-open":
      return [2, message.index, message.nonce, message.isWanted];
    case "sleeve-idle":
      return [3];
    case "wireguard-ready":
      return [4];
    case "state":
      return [5, message.kind, message.isUp];
    default:
      return message satisfies never;
  }
}

/** undefined: of a kind we do not know. @throws {ProtocolError} */
export function decodePathMessage(bytes: Uint8Array): PathMessage | undefined {
  const [number, ...fields] = readList(unpack(bytes), 64, "path message");
  switch (readInteger(number, 2 ** 32 - 1, "path message number")) {
    case 1:
      return readOffer(fields);
    case 2:
      return {
        type: "sleeve-open",
        index: readIndex(fields[0]),
        nonce: readFixed(fields[1], SLEEVE_NONCE_BYTES, "sleeve nonce"),
        isWanted: readBoolean(fields[2], "sleeve need"),
      };
    case 3:
      return { type: "sleeve-idle" };
    case 4:
      return { type: "wireguard-ready" };
    case 5: {
      const kind = PATH_KINDS.find((known) => known === readText(fields[0], "path kind"));
      return kind && { type: "state", kind, isUp: readBoolean(fields[1], "path state") };
    }
    default:
      return undefined;
  }
}

function readOffer([seen, mtuBytes, ciphers, wireguard]: readonly unknown[]): Offer {
  const address = parseIp(readText(seen, "address"));
  if (address === undefined) throw new ProtocolError("unreadable address");
  return {
    type: "offer",
    seen: address,
    mtuBytes: readInteger(mtuBytes, 65_535, "MTU"),
    ciphers: readList(ciphers, CIPHERS_MAX, "ciphers").map((cipher) => readText(cipher, "cipher", 32)),
    wireguard: wireguard === null || wireguard === undefined ? undefined : readWireguard(wireguard),
  };
}

function readWireguard(value: unknown): WireguardOffer {
  const [publicKey, port] = readList(value, 8, "WireGuard offer");
  const offer = {
    publicKey: readFixed(publicKey, KEY_BYTES, "WireGuard key"),
    port: readInteger(port, 65_535, "WireGuard port"),
  };
  if (offer.port === 0) throw new ProtocolError("unreadable WireGuard port");
  return offer;
}

function readIndex(value: unknown): number {
  const index = readInteger(value, 2 ** 32 - 1, "sleeve index");
  if (index === 0) throw new ProtocolError("unreadable sleeve index");
  return index;
}

function readFixed(value: unknown, length: number, what: string): Uint8Array {
  const bytes = readBytes(value, what);
  if (bytes.length !== length) throw new ProtocolError(`unreadable ${what}`);
  return Uint8Array.from(bytes);
}
