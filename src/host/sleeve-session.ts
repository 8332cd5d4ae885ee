// SPDX-License-Identifier: Apache-2.0
// One neighbour as the sleeve's Worker knows it: its keys, where it is, what fits on the way. Sends nothing itself: what should go out is asked
// of its port.
import { Arena } from "../../native/ffi.ts";
import { AF, inetAddress } from "../../native/libc/sockaddr.ts";
import { type Ip, ipBytes, isIpv6 } from "../net/ip.ts";
import type { SleeveCipher, SleeveSession } from "../overlay/carriers.ts";
import { FRAME_RECORD_BYTES, HEADER_BYTES, IP_UDP_BYTES, RECORD, TAG_BYTES } from "../overlay/sleeve/datagram.ts";
import { PathMtu } from "../overlay/sleeve/path-mtu.ts";
import { Keyring, type ReceiveKey } from "./sleeve-keyring.ts";

/** Under the 30 s after which common NATs forget. */
const KEEP_ALIVE_MS = 20_000;
/** Until the other end has been heard for the first time; each pause is twice the one before. */
const GREET_MS = 100;
const GREET_MAX_MS = 5_000;
/** A kernel or device that made no segments is asked again after so long. */
const SEGMENTS_AGAIN_MS = 600_000;
const SOCKADDR_BYTES = 28;
const ETHERNET_BYTES = 14;

export interface SessionPorts {
  /** Sends one control record at once, in a datagram of its own; `sizeBytes`: padded to an IP packet of this size. */
  send(session: Session, kind: number, payload: Uint8Array, sizeBytes?: number): void;
  newIndex(): number;
  addReceiveKey(key: ReceiveKey<Session>): void;
  dropReceiveKey(key: ReceiveKey<Session>): void;
  /** The other end was heard for the first time. */
  up(session: Session): void;
  mtuChanged(session: Session): void;
}

export class Session {
  readonly localIndex: number;
  readonly neighbour: number;
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
  readonly counts = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0 };
  readonly mtu: PathMtu;
  readonly #ports: SessionPorts;
  #greetMs = GREET_MS;
  #segmentsAgainAt = 0;
  readonly keys: Keyring<Session>;

  constructor(session: SleeveSession, largestMtuBytes: number, now: number, ports: SessionPorts) {
    this.#ports = ports;
    this.localIndex = session.localIndex;
    this.neighbour = session.neighbour;
    this.cipherName = session.cipher;
    this.sentAt = now;
    this.mtu = new PathMtu(largestMtuBytes, (sizeBytes) => this.#probe(sizeBytes));
    this.keys = new Keyring(session, this, now, {
      ...ports,
      send: (kind, payload) => ports.send(this, kind, payload),
    });
    this.moveTo(session.address, session.port);
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

  /** Once is enough: until the other end is heard it goes on by itself. */
  greet(now: number): void {
    this.sentAt = now;
    this.#ports.send(this, RECORD.keepAlive, NOTHING);
  }
  /** An authentic datagram came by this key. */
  heard(key: ReceiveKey<Session>, now: number): void {
    this.keys.heard(key, now);
    if (this.isUp) return;
    this.isUp = true;
    this.#ports.up(this);
    this.greet(now); // the other end may wait for it
    this.mtu.start(now);
  }

  /** When `due` wants to be called. */
  dueAt(): number {
    return Math.min(this.#greetAt(), this.mtu.dueAt, this.keys.dueAt(this.isUp));
  }
  due(now: number): void {
    this.keys.due(now, this.isUp);
    if (this.mtu.due(now)) this.#resize();
    if (this.#segmentsAgainAt !== 0 && now >= this.#segmentsAgainAt) this.#segmentsAgainAt = 0;
    if (now < this.#greetAt()) return;
    this.greet(now);
    if (!this.isUp) this.#greetMs = Math.min(GREET_MAX_MS, this.#greetMs * 2);
  }
  #greetAt(): number {
    return this.sentAt + (this.isUp ? KEEP_ALIVE_MS : this.#greetMs);
  }
  rekeyAnswered(payload: Uint8Array, now: number): void {
    if (this.keys.answered(payload, now)) this.greet(now); // so that the other end changes over too
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
    const sealing = HEADER_BYTES + (this.keys.send.cipher ? TAG_BYTES : 0);
    this.overheadBytes = IP_UDP_BYTES[this.isIpv6 ? "ipv6" : "ipv4"] + sealing;
    this.payloadBytes = this.mtu.bytes - this.overheadBytes;
    if (before !== this.payloadBytes) this.#ports.mtuChanged(this);
  }
}

const NOTHING = new Uint8Array(0);
