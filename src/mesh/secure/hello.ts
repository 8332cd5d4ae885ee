// SPDX-License-Identifier: Apache-2.0
// The Hello inside the handshake's encrypted payloads: a MessagePack map. Unknown keys are ignored; new keys need a value for those who do
// not send them.
import { Packr } from "msgpackr/pack";
import { ProtocolError } from "../../runtime/errors.ts";
import { readBoolean, readInteger, readList, readName, readShortId, readText, readWords } from "../fields.ts";
import type { Hello } from "../ports.ts";
import { isPlainMessagePack } from "./plain-messagepack.ts";

/** What the sender says; the key comes from the handshake. */
export type HelloWords = Omit<Hello, "publicKey">;

export const HELLO_BYTES_MAX = 2048;
const NICKNAME_MAX = 255;
const TRANSPORTS_MAX = 16;
const TRANSPORT_NAME_MAX = 32;
const LIMITS = { depth: 4, values: 256 };

// The entry `msgpackr/pack` is the library without its native add-on.
const packr = new Packr({ useRecords: false, mapsAsObjects: false, moreTypes: false });

export function encodeHello(hello: HelloWords): Uint8Array {
  const { name, nickname, uid, shortId, port, nonce, trusted, transports } = hello;
  const words = { name, nickname: nickname.slice(0, NICKNAME_MAX), uid, shortId, port, nonce, trusted, transports };
  return Uint8Array.from(packr.pack(new Map(Object.entries(words))));
}

/** @throws {ProtocolError} */
export function decodeHello(bytes: Uint8Array): HelloWords {
  if (bytes.length > HELLO_BYTES_MAX || !isPlainMessagePack(bytes, LIMITS)) throw new ProtocolError("unreadable hello");
  const words: unknown = packr.unpack(bytes);
  if (!(words instanceof Map)) throw new ProtocolError("unreadable hello");
  const uid = readText(words.get("uid"), "uid");
  if (!/^[0-9a-f]{16}$/.test(uid)) throw new ProtocolError("unreadable uid");
  const port = readInteger(words.get("port"), 65_535, "port");
  if (port === 0) throw new ProtocolError("unreadable port");
  return {
    name: readName(words.get("name")),
    nickname: readWords(words.get("nickname"), "nickname"),
    uid,
    shortId: readShortId(words.get("shortId")),
    port,
    nonce: readInteger(words.get("nonce"), 2 ** 32 - 1, "nonce"),
    trusted: readBoolean(words.get("trusted"), "trust"),
    transports: readList(words.get("transports"), TRANSPORTS_MAX, "transports").map((transport) =>
      readWords(transport, "transport", TRANSPORT_NAME_MAX),
    ),
  };
}
