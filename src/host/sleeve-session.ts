// SPDX-License-Identifier: Apache-2.0
// One neighbour as the sleeve's Worker knows it: its keys, where it is, what fits on the way. Sends nothing itself: what should go out is asked
// of its port.
import { Arena } from "../../native/ffi.ts";
import { AF, inetAddress } from "../../native/libc/sockaddr.ts";
import { PacketCipher } from "../../native/libsodium/packet-cipher.ts";
import { newSecretKey, publicKeyOf, sharedSecret } from "../../native/libsodium/x25519.ts";
import { type Ip, ipBytes, isIpv6 } from "../net/ip.ts";
import type { SleeveCipher, SleeveSession } from "../overlay/carriers.ts";
import {
  CLEAR_MODE,
  FRAME_RECORD_BYTES,
  HEADER_BYTES,
  IP_UDP_BYTES,
  RECORD,
  REKEY_BYTES,
  TAG_BYTES,
} from "../overlay/sleeve/datagram.ts";
import { deriveKeys, nextSecret, type SessionKeys } from "../overlay/sleeve/keys.ts";
import { PathMtu } from "../overlay/sleeve/path-mtu.ts";
import { ReplayWindow } from "../overlay/sleeve/replay-window.ts";
import { sodiumSealing } from "./sealing.ts";

/** Under the 30 s after which common NATs forget. */
const KEEP_ALIVE_MS = 20_000;
/** Until the other end has been heard for the first time; each pause is twice the one before. */
const GREET_MS = 100;
const GREET_MAX_MS = 5_000;
/** A kernel or device that made no segments is asked again after so long. */
const SEGMENTS_AGAIN_MS = 600_000;
/** A key in use is replaced at this age; the other end gets its chance to answer before REKEY_LIMIT_MS. */
const REKEY_MS = 100_000;
const REKEY_RETRY_MS = 1_000;
/** Never more with one key: nothing is sent then but the offer of another. */
const REKEY_LIMIT_MS = 240_000;
const REKEY_LIMIT_PACKETS = 2 ** 32;
/** Datagrams under way when the key changed are still taken. */
const OVERLAP_MS = 10_000;
const SOCKADDR_BYTES = 28;
const ETHERNET_BYTES = 14;

export interface SendKey {
  readonly remoteIndex: number;
  readonly cipher: PacketCipher | undefined;
  /** Goes into the upper half of every counter. */
  readonly mode: number;
  /** Of the next datagram. */
  counter: number;
  readonly since: number;
}
export class ReceiveKey {
  readonly index: number;
  readonly session: Session;
  readonly cipher: PacketCipher | undefined;
  readonly window = new ReplayWindow();
  /** Not taken after this. */
  expiresAt = Number.POSITIVE_INFINITY;
  constructor(index: number, session: Session, cipher: PacketCipher | undefined) {
    this.index = index;
    this.session = session;
    this.cipher = cipher;
  }
}

export interface SessionPorts {
  /** Sends one control record at once, in a datagram of its own; `sizeBytes`: padded to an IP packet of this size. */
  send(session: Session, kind: number, payload: Uint8Array, sizeBytes?: number): void;
  newIndex(): number;
  addReceiveKey(key: ReceiveKey): void;
  dropReceiveKey(key: ReceiveKey): void;
  /** The other end was heard for the first time. */
  up(session: Session): void;
  mtuChanged(session: Session): void;
}

export class Session {
  readonly localIndex: number;
  readonly neighbour: number;
  readonly isInitiator: boolean;
  readonly cipherName: SleeveCipher;
  /** struct sockaddr_in or sockaddr_in6, for C. */
  readonly name = Arena.allocate(SOCKADDR_BYTES);
  nameBytes = 0;
  isIpv6 = false;
  /** Plaintext that fits into one datagram. */
  payloadBytes = 0;
  /** What an IP packet spends beside it. */
  overheadBytes = 0;
  isUp = false;
  fragmentId = 0;
  sentAt: number;
  heardAt: number;
  readonly counts = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0, rekeys: 0 };
  readonly mtu: PathMtu;
  readonly #ports: SessionPorts;
  #sendKey: SendKey;
  #greetMs = GREET_MS;
  #segmentsAgainAt = 0;
  #receiveKeys: ReceiveKey[] = [];
  #chain: Uint8Array | undefined;
  /** Initiator: the offer that waits for its answer. */
  #offer: { readonly index: number; readonly secretKey: Uint8Array; readonly publicKey: Uint8Array; sentAt: number } | undefined;
  /** Responder: the answer given last, and the key to send with once the other end has used it. */
  #answer:
    | { readonly offered: Uint8Array; readonly bytes: Uint8Array; readonly receive: ReceiveKey; send: SendKey | undefined }
    | undefined;

  constructor(session: SleeveSession, largestMtuBytes: number, now: number, ports: SessionPorts) {
    this.#ports = ports;
    this.localIndex = session.localIndex;
    this.neighbour = session.neighbour;
    this.isInitiator = session.initiator;
    this.cipherName = session.cipher;
    this.sentAt = now;
    this.heardAt = now;
    this.mtu = new PathMtu(largestMtuBytes, (sizeBytes) => this.#probe(sizeBytes));
    const context = { ...session, isInitiator: session.initiator };
    const keys = session.secret && deriveKeys(sodiumSealing, session.secret, context);
    this.#chain = keys?.chain;
    this.#sendKey = this.#makeSendKey(session.remoteIndex, keys?.send, now);
    this.#addReceiveKey(session.localIndex, keys?.receive);
    this.moveTo(session.address, session.port);
  }

  get sendKey(): SendKey {
    return this.#sendKey;
  }
  /** The kernel takes several datagrams as one. */
  get segments(): boolean {
    return this.#segmentsAgainAt === 0;
  }
  refuseSegments(now: number): void {
    this.#segmentsAgainAt = now + SEGMENTS_AGAIN_MS;
  }
  /** Our own link does not take datagrams of this size. */
  linkRefuses(datagramBytes: number, now: number): void {
    if (this.mtu.refused(datagramBytes + IP_UDP_BYTES[this.isIpv6 ? "ipv6" : "ipv4"], now)) this.#resize();
  }
  /** No frame may be sent any more with the present key. */
  isExhausted(now: number): boolean {
    const { since, counter, cipher } = this.#sendKey;
    return cipher !== undefined && (now - since > REKEY_LIMIT_MS || counter >= REKEY_LIMIT_PACKETS);
  }
  /** Inner IP packet that fits into one datagram. */
  get innerBytes(): number {
    return this.payloadBytes - FRAME_RECORD_BYTES - ETHERNET_BYTES;
  }

  moveTo(address: Ip, port: number): void {
    const name = inetAddress(ipBytes(address), port);
    this.name.bytes.set(name);
    this.nameBytes = name.length;
    this.isIpv6 = isIpv6(address);
    this.#resize();
  }
  /** The sender of an authentic datagram, as the kernel wrote it. True: it was elsewhere before. */
  movedTo(view: DataView, at: number, now: number): boolean {
    const isIpv6Name = view.getUint16(at, true) === AF.INET6;
    const bytes = isIpv6Name ? SOCKADDR_BYTES : 16;
    let isSame = isIpv6Name === this.isIpv6;
    for (let i = 0; isSame && i < bytes; i += 4) {
      // Flow label and the padding behind an IPv4 address say nothing.
      if (isIpv6Name ? i === 4 : i >= 8) continue;
      isSame = view.getUint32(at + i) === this.name.view.getUint32(i);
    }
    if (isSame) return false;
    for (let i = 0; i < bytes; i++) this.name.bytes[i] = view.getUint8(at + i);
    this.nameBytes = bytes;
    this.isIpv6 = isIpv6Name;
    this.#segmentsAgainAt = 0;
    this.#resize();
    if (this.isUp) this.mtu.start(now);
    return true;
  }

  /** Begins: greets the other end until it is heard. */
  start(now: number): void {
    this.greet(now);
  }
  greet(now: number): void {
    this.sentAt = now;
    this.#ports.send(this, RECORD.keepAlive, NOTHING);
  }
  /** An authentic datagram came by this key. */
  heard(key: ReceiveKey, now: number): void {
    this.heardAt = now;
    if (key === this.#answer?.receive && this.#answer.send) this.#switchTo(this.#answer.send, key, now);
    if (this.isUp) return;
    this.isUp = true;
    this.#ports.up(this);
    this.greet(now); // the other end may wait for it
    this.mtu.start(now);
  }

  /** When `due` wants to be called. */
  dueAt(): number {
    let dueAt = Math.min(this.#greetAt(), this.mtu.dueAt, this.#offer ? this.#offer.sentAt + REKEY_RETRY_MS : this.#rekeyAt());
    for (const key of this.#receiveKeys) dueAt = Math.min(dueAt, key.expiresAt);
    return dueAt;
  }
  due(now: number): void {
    for (const key of this.#receiveKeys) if (key.expiresAt <= now) this.#removeReceiveKey(key);
    if (this.mtu.due(now)) this.#resize();
    if (this.#offer && now - this.#offer.sentAt >= REKEY_RETRY_MS) this.#sendOffer(now);
    else if (!this.#offer && now >= this.#rekeyAt()) this.#makeOffer(now);
    if (this.#segmentsAgainAt !== 0 && now >= this.#segmentsAgainAt) this.#segmentsAgainAt = 0;
    if (now < this.#greetAt()) return;
    this.greet(now);
    if (!this.isUp) this.#greetMs = Math.min(GREET_MAX_MS, this.#greetMs * 2);
  }
  #greetAt(): number {
    return this.sentAt + (this.isUp ? KEEP_ALIVE_MS : this.#greetMs);
  }
  /** The session's successor is in use: this one is listened to for a little longer. */
  retire(now: number): void {
    for (const key of this.#receiveKeys) key.expiresAt = Math.min(key.expiresAt, now + OVERLAP_MS);
  }
  get isOver(): boolean {
    return this.#receiveKeys.length === 0;
  }
  close(): void {
    for (const key of [...this.#receiveKeys]) this.#removeReceiveKey(key);
    this.#sendKey.cipher?.[Symbol.dispose]();
    this.#answer?.send?.cipher?.[Symbol.dispose]();
    if (this.#chain) sodiumSealing.wipe(this.#chain);
    if (this.#offer) sodiumSealing.wipe(this.#offer.secretKey);
  }

  // Path MTU

  mtuAnswered(sizeBytes: number, now: number): void {
    if (this.mtu.answered(sizeBytes, now)) this.#resize();
  }
  #probe(sizeBytes: number): void {
    const payload = new Uint8Array(2);
    new DataView(payload.buffer).setUint16(0, sizeBytes);
    this.#ports.send(this, RECORD.mtuProbe, payload, sizeBytes);
  }
  #resize(): void {
    const before = this.payloadBytes;
    const sealing = HEADER_BYTES + (this.#sendKey.cipher ? TAG_BYTES : 0);
    this.overheadBytes = IP_UDP_BYTES[this.isIpv6 ? "ipv6" : "ipv4"] + sealing;
    this.payloadBytes = this.mtu.bytes - this.overheadBytes;
    if (before !== this.payloadBytes) this.#ports.mtuChanged(this);
  }

  // Rekeying

  #rekeyAt(): number {
    const { since, counter, cipher } = this.#sendKey;
    // A key that was not used needs no successor.
    const isIdle = cipher === undefined || !this.isInitiator || !this.isUp || counter === 0;
    return isIdle ? Number.POSITIVE_INFINITY : since + REKEY_MS;
  }
  #makeOffer(now: number): void {
    const secretKey = newSecretKey();
    this.#offer = { index: this.#ports.newIndex(), secretKey, publicKey: publicKeyOf(secretKey), sentAt: now };
    this.#sendOffer(now);
  }
  #sendOffer(now: number): void {
    if (!this.#offer) return;
    this.#offer.sentAt = now;
    this.#ports.send(this, RECORD.rekeyOffer, rekeyBytes(this.#offer.index, this.#offer.publicKey));
  }
  /** Responder: the other end offers the next key. */
  offered(payload: Uint8Array, now: number): void {
    if (this.isInitiator || !this.#chain || payload.length !== REKEY_BYTES) return;
    const isRepeated = this.#answer && Buffer.compare(this.#answer.offered, payload) === 0;
    if (!isRepeated && !this.#takeOffer(Uint8Array.from(payload), now)) return;
    if (this.#answer) this.#ports.send(this, RECORD.rekeyAnswer, this.#answer.bytes);
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
  /** Initiator: the other end can receive with the next key, and so can we. */
  answered(payload: Uint8Array, now: number): void {
    const offer = this.#offer;
    if (!offer || payload.length !== REKEY_BYTES) return;
    this.#offer = undefined;
    const theirs = Uint8Array.from(payload.subarray(4));
    const remoteIndex = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
    const publicKeys = { initiator: offer.publicKey, responder: theirs };
    const next = this.#next(offer.secretKey, theirs, publicKeys, offer.index, remoteIndex);
    if (!next) return;
    const receive = this.#addReceiveKey(offer.index, next.receive);
    this.#switchTo(this.#makeSendKey(remoteIndex, next.send, now), receive, now);
    this.greet(now); // so that the other end changes over too
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
    const context = { isInitiator: this.isInitiator, cipher: this.cipherName, localIndex, remoteIndex };
    const keys = deriveKeys(sodiumSealing, nextSecret(sodiumSealing, this.#chain, shared, publicKeys), context);
    sodiumSealing.wipe(this.#chain);
    this.#chain = keys.chain;
    return keys;
  }
  /** From now on we send with this key; earlier ones are received from for a while. */
  #switchTo(send: SendKey, receive: ReceiveKey, now: number): void {
    this.#sendKey.cipher?.[Symbol.dispose]();
    this.#sendKey = send;
    if (this.#answer) this.#answer.send = undefined;
    for (const key of this.#receiveKeys) if (key !== receive) key.expiresAt = Math.min(key.expiresAt, now + OVERLAP_MS);
    this.counts.rekeys++;
  }
  #makeSendKey(remoteIndex: number, key: Uint8Array | undefined, now: number): SendKey {
    const cipher = this.#cipherOf(key);
    return { remoteIndex, cipher, mode: cipher ? 0 : CLEAR_MODE, counter: 0, since: now };
  }
  #addReceiveKey(index: number, key: Uint8Array | undefined): ReceiveKey {
    const receive = new ReceiveKey(index, this, this.#cipherOf(key));
    this.#receiveKeys.push(receive);
    this.#ports.addReceiveKey(receive);
    return receive;
  }
  #removeReceiveKey(key: ReceiveKey): void {
    this.#receiveKeys = this.#receiveKeys.filter((other) => other !== key);
    this.#ports.dropReceiveKey(key);
    key.cipher?.[Symbol.dispose]();
  }
  #cipherOf(key: Uint8Array | undefined): PacketCipher | undefined {
    if (!key || this.cipherName === "none") return undefined;
    const cipher = new PacketCipher(this.cipherName, key);
    sodiumSealing.wipe(key);
    return cipher;
  }
}

const NOTHING = new Uint8Array(0);

function rekeyBytes(index: number, publicKey: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(REKEY_BYTES);
  new DataView(bytes.buffer).setUint32(0, index);
  bytes.set(publicKey, 4);
  return bytes;
}
