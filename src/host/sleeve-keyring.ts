// SPDX-License-Identifier: Apache-2.0
// Keys of one sleeve session, old and new: one to send with, several to receive with. The initiator offers the next ones in good time; the
// responder sends with them once it has heard something by them, so no datagram comes that its receiver cannot open.
//
//   initiator ── offer (index, X25519) ──▶ responder            receives by the new key from here on
//   receives and sends by it from here on ◀── answer (index, X25519) ──
//   initiator ── anything, by the new key ──▶                    sends by it from here on
import { newSecretKey, publicKeyOf, sharedSecret } from "../../native/libsodium/x25519.ts";
import type { PacketCipher } from "../../native/packet-cipher.ts";
import type { SleeveCipher, SleeveSession } from "../overlay/carriers.ts";
import { CLEAR_MODE, RECORD, REKEY_BYTES } from "../overlay/sleeve/datagram.ts";
import { deriveKeys, nextSecret, type SessionKeys } from "../overlay/sleeve/keys.ts";
import { ReplayWindow } from "../overlay/sleeve/replay-window.ts";
import { sodiumSealing } from "./sealing.ts";
import { SleevePacketCipher } from "./sleeve-ciphers.ts";

/** A key in use is replaced at this age or after so many datagrams; the other end gets its chance to answer before the limits. */
export const REKEY_MS = 100_000;
export const REKEY_RETRY_MS = 1_000;
const REKEY_PACKETS = 2 ** 31;
/** Never more with one key: nothing is sent then but the offer of another. */
export const REKEY_LIMIT_MS = 240_000;
const REKEY_LIMIT_PACKETS = 2 ** 32;
/** Datagrams under way when the key changed are still taken. */
export const OVERLAP_MS = 10_000;

export interface SendKey {
  readonly remoteIndex: number;
  /** undefined: clear. */
  readonly cipher: PacketCipher | undefined;
  /** Goes into the upper half of every counter. */
  readonly mode: number;
  /** Of the next datagram. */
  counter: number;
  readonly since: number;
}
export class ReceiveKey<Owner> {
  readonly index: number;
  readonly session: Owner;
  readonly cipher: PacketCipher | undefined;
  readonly window = new ReplayWindow();
  /** Not taken after this. */
  expiresAt = Number.POSITIVE_INFINITY;
  constructor(index: number, session: Owner, cipher: PacketCipher | undefined) {
    this.index = index;
    this.session = session;
    this.cipher = cipher;
  }
}
export interface KeyringPorts<Owner> {
  /** Sends one control record. */
  send(kind: number, payload: Uint8Array): void;
  /** Random, and in use nowhere. */
  newIndex(): number;
  addReceiveKey(key: ReceiveKey<Owner>): void;
  dropReceiveKey(key: ReceiveKey<Owner>): void;
}

interface Offer {
  readonly index: number;
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
  sentAt: number;
}
interface Answer<Owner> {
  readonly offered: Uint8Array;
  readonly bytes: Uint8Array;
  readonly receive: ReceiveKey<Owner>;
  /** undefined: in use. */
  send: SendKey | undefined;
}

export class Keyring<Owner> {
  /** Changes over so far. */
  rekeys = 0;
  readonly #owner: Owner;
  readonly #ports: KeyringPorts<Owner>;
  readonly #isInitiator: boolean;
  readonly #cipherName: SleeveCipher;
  #send: SendKey;
  #receiveKeys: ReceiveKey<Owner>[] = [];
  #chain: Uint8Array | undefined;
  /** Initiator: what waits for its answer. */
  #offer: Offer | undefined;
  /** Responder: what was answered last. */
  #answer: Answer<Owner> | undefined;

  /** Takes over the session's secret and wipes it. */
  constructor(session: SleeveSession, owner: Owner, now: number, ports: KeyringPorts<Owner>) {
    this.#owner = owner;
    this.#ports = ports;
    this.#isInitiator = session.initiator;
    this.#cipherName = session.cipher;
    const context = { ...session, isInitiator: session.initiator };
    const keys = session.secret && deriveKeys(sodiumSealing, session.secret, context);
    this.#chain = keys?.chain;
    this.#send = this.#makeSendKey(session.remoteIndex, keys?.send, now);
    this.#addReceiveKey(session.localIndex, keys?.receive);
  }

  get send(): SendKey {
    return this.#send;
  }
  /** No frame may be sent any more with the present key. */
  isExhausted(now: number): boolean {
    const { since, counter, cipher } = this.#send;
    return cipher !== undefined && (now - since > REKEY_LIMIT_MS || counter >= REKEY_LIMIT_PACKETS);
  }
  /** An authentic datagram came by this key. */
  heard(key: ReceiveKey<Owner>, now: number): void {
    if (this.#answer?.send && key === this.#answer.receive) this.#changeOver(this.#answer.send, key, now);
  }

  /** When `due` wants to be called. */
  dueAt(isUp: boolean): number {
    let dueAt = this.#offer ? this.#offer.sentAt + REKEY_RETRY_MS : isUp ? this.#rekeyAt() : Number.POSITIVE_INFINITY;
    for (const key of this.#receiveKeys) dueAt = Math.min(dueAt, key.expiresAt);
    return dueAt;
  }
  due(now: number, isUp: boolean): void {
    for (const key of this.#receiveKeys) if (key.expiresAt <= now) this.#removeReceiveKey(key);
    if (this.#offer && now - this.#offer.sentAt >= REKEY_RETRY_MS) this.#sendOffer(this.#offer, now);
    else if (!this.#offer && isUp && now >= this.#rekeyAt()) this.#makeOffer(now);
  }
  /** The session's successor is in use: this one is listened to for a little longer. */
  retire(now: number): void {
    for (const key of this.#receiveKeys) key.expiresAt = Math.min(key.expiresAt, now + OVERLAP_MS);
  }
  /** Nothing can be received any more. */
  get isOver(): boolean {
    return this.#receiveKeys.length === 0;
  }
  /** Wipes everything. */
  close(): void {
    for (const key of [...this.#receiveKeys]) this.#removeReceiveKey(key);
    this.#send.cipher?.[Symbol.dispose]();
    this.#answer?.send?.cipher?.[Symbol.dispose]();
    if (this.#chain) sodiumSealing.wipe(this.#chain);
    if (this.#offer) sodiumSealing.wipe(this.#offer.secretKey);
    this.#chain = undefined;
    this.#offer = undefined;
  }

  /** Responder: the other end offers the next key. */
  offered(payload: Uint8Array, now: number): void {
    if (this.#isInitiator || !this.#chain || payload.length !== REKEY_BYTES) return;
    const isRepeated = this.#answer && sodiumSealing.equal(this.#answer.offered, payload);
    if (!isRepeated && !this.#takeOffer(Uint8Array.from(payload), now)) return;
    if (this.#answer) this.#ports.send(RECORD.rekeyAnswer, this.#answer.bytes);
  }
  /** Initiator: the other end can receive with the next key, and so can we. True: we changed over, and it should hear something. */
  answered(payload: Uint8Array, now: number): boolean {
    const offer = this.#offer;
    if (!offer || payload.length !== REKEY_BYTES) return false;
    this.#offer = undefined;
    const theirs = Uint8Array.from(payload.subarray(4));
    const remoteIndex = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
    const publicKeys = { initiator: offer.publicKey, responder: theirs };
    const next = this.#next(offer.secretKey, theirs, publicKeys, offer.index, remoteIndex);
    if (!next) return false;
    const receive = this.#addReceiveKey(offer.index, next.receive);
    this.#changeOver(this.#makeSendKey(remoteIndex, next.send, now), receive, now);
    return true;
  }

  #rekeyAt(): number {
    const { since, counter, cipher } = this.#send;
    // A key that was not used needs no successor.
    if (cipher === undefined || !this.#isInitiator || counter === 0) return Number.POSITIVE_INFINITY;
    return counter >= REKEY_PACKETS ? 0 : since + REKEY_MS;
  }
  #makeOffer(now: number): void {
    const secretKey = newSecretKey();
    this.#offer = { index: this.#ports.newIndex(), secretKey, publicKey: publicKeyOf(secretKey), sentAt: now };
    this.#sendOffer(this.#offer, now);
  }
  #sendOffer(offer: Offer, now: number): void {
    offer.sentAt = now;
    this.#ports.send(RECORD.rekeyOffer, rekeyBytes(offer.index, offer.publicKey));
  }
  #takeOffer(offered: Uint8Array, now: number): boolean {
    if (this.#answer?.send) return false; // one at a time: the last one has not been used yet
    const secretKey = newSecretKey();
    const publicKey = publicKeyOf(secretKey);
    const theirs = offered.subarray(4);
    const localIndex = this.#ports.newIndex();
    const remoteIndex = new DataView(offered.buffer).getUint32(0);
    const publicKeys = { initiator: theirs, responder: publicKey };
    const next = this.#next(secretKey, theirs, publicKeys, localIndex, remoteIndex);
    if (!next) return false;
    const receive = this.#addReceiveKey(localIndex, next.receive);
    const send = this.#makeSendKey(remoteIndex, next.send, now);
    this.#answer = { offered, bytes: rekeyBytes(receive.index, publicKey), receive, send };
    return true;
  }
  /** undefined: their key is of no use. */
  #next(
    secretKey: Uint8Array,
    theirs: Uint8Array,
    publicKeys: { initiator: Uint8Array; responder: Uint8Array },
    localIndex: number,
    remoteIndex: number,
  ): SessionKeys | undefined {
    const shared = sharedSecret(secretKey, theirs);
    sodiumSealing.wipe(secretKey);
    if (!shared || !this.#chain) return undefined;
    const secret = nextSecret(sodiumSealing, this.#chain, shared, publicKeys);
    const context = { isInitiator: this.#isInitiator, cipher: this.#cipherName, localIndex, remoteIndex };
    const keys = deriveKeys(sodiumSealing, secret, context);
    sodiumSealing.wipe(this.#chain);
    this.#chain = keys.chain;
    return keys;
  }
  /** From now on we send with this key; earlier ones are received from for a while. */
  #changeOver(send: SendKey, receive: ReceiveKey<Owner>, now: number): void {
    this.#send.cipher?.[Symbol.dispose]();
    this.#send = send;
    if (this.#answer) this.#answer.send = undefined;
    for (const key of this.#receiveKeys) if (key !== receive) key.expiresAt = Math.min(key.expiresAt, now + OVERLAP_MS);
    this.rekeys++;
  }
  #makeSendKey(remoteIndex: number, key: Uint8Array | undefined, now: number): SendKey {
    const cipher = this.#cipherOf(key);
    return { remoteIndex, cipher, mode: cipher ? 0 : CLEAR_MODE, counter: 0, since: now };
  }
  #addReceiveKey(index: number, key: Uint8Array | undefined): ReceiveKey<Owner> {
    const receive = new ReceiveKey(index, this.#owner, this.#cipherOf(key));
    this.#receiveKeys.push(receive);
    this.#ports.addReceiveKey(receive);
    return receive;
  }
  #removeReceiveKey(key: ReceiveKey<Owner>): void {
    this.#receiveKeys = this.#receiveKeys.filter((other) => other !== key);
    this.#ports.dropReceiveKey(key);
    key.cipher?.[Symbol.dispose]();
  }
  #cipherOf(key: Uint8Array | undefined): PacketCipher | undefined {
    if (!key || this.#cipherName === "none") return undefined;
    const cipher = new SleevePacketCipher(this.#cipherName, key);
    sodiumSealing.wipe(key);
    return cipher;
  }
}

function rekeyBytes(index: number, publicKey: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(REKEY_BYTES);
  new DataView(bytes.buffer).setUint32(0, index);
  bytes.set(publicKey, 4);
  return bytes;
}
