// SPDX-License-Identifier: Apache-2.0
// Netlink messages and attributes as bytes (linux/netlink.h, RFC 3549). Pure: writes requests into one buffer, reads whatever comes.
// Headers and integers are in the machine's order, which is little-endian on every machine we run on.
import { allocate, type Bytes, readCString } from "../ffi.ts";

/** struct nlmsghdr, linux/netlink.h
 *  offset size field
 *       0    4 length  with this header, without the padding to 4
 *       4    2 type    < 16: NLMSG_*, else of the protocol or family
 *       6    2 flags
 *       8    4 sequence
 *      12    4 port id of the socket the message is for */
export const NLMSGHDR = { size: 16, length: 0, type: 4, flags: 6, sequence: 8, port: 12 } as const;
/** struct nlattr: length (with this header, without padding), type; then the payload, padded to 4. */
export const NLATTR = { size: 4, length: 0, type: 2 } as const;

/** nlmsg_flags */
export const NLM_F = {
  REQUEST: 0x01,
  MULTI: 0x02,
  ACK: 0x04,
  DUMP_INTR: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  CAPPED: 0x100, // in an error message: the request is not echoed behind its header
  ACK_TLVS: 0x200, // in an error message: attributes follow
} as const;
/** nlmsg_type below 16. */
export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff; // without NLA_F_NESTED and NLA_F_NET_BYTEORDER

const align = (length: number): number => (length + 3) & ~3;

/** One request. Fill it in order: header fields of the protocol first, then attributes. */
export class MessageWriter {
  #bytes: Bytes;
  #view: DataView;
  #end: number = NLMSGHDR.size;

  constructor(type: number, flags: number, sizeHint = 512) {
    this.#bytes = allocate(sizeHint);
    this.#view = new DataView(this.#bytes.buffer);
    this.#view.setUint16(NLMSGHDR.type, type, true);
    this.#view.setUint16(NLMSGHDR.flags, flags, true);
  }

  u8(value: number): this {
    const at = this.#grow(1); // first: growing replaces the view
    this.#view.setUint8(at, value);
    return this;
  }
  u16(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value, true);
    return this;
  }
  u32(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** An attribute of any bytes. */
  attribute(type: number, payload: Uint8Array): this {
    const at = this.#begin(type);
    const payloadAt = this.#grow(payload.length);
    this.#bytes.set(payload, payloadAt);
    return this.#close(at);
  }
  attributeU8(type: number, value: number): this {
    const at = this.#begin(type);
    return this.u8(value).#close(at);
  }
  attributeU16(type: number, value: number): this {
    const at = this.#begin(type);
    return this.u16(value).#close(at);
  }
  /** Network byte order, as ports are. */
  attributeU16be(type: number, value: number): this {
    const at = this.#begin(type);
    const payloadAt = this.#grow(2);
    this.#view.setUint16(payloadAt, value);
    return this.#close(at);
  }
  attributeU32(type: number, value: number): this {
    const at = this.#begin(type);
    return this.u32(value).#close(at);
  }
  /** Text with its NUL. */
  attributeText(type: number, text: string): this {
    return this.attribute(type, Buffer.from(`${text}\0`, "utf8"));
  }
  /** A 48-bit address, big-endian. */
  attributeMac(type: number, mac: number): this {
    const at = this.#begin(type);
    const payload = this.#grow(6);
    this.#view.setUint16(payload, Math.floor(mac / 2 ** 32));
    this.#view.setUint32(payload + 2, mac % 2 ** 32);
    return this.#close(at);
  }
  /** An attribute of attributes, or of a header and attributes: whatever `fill` writes. */
  nested(type: number, fill: (writer: this) => void): this {
    const at = this.#begin(type | NLA_F_NESTED);
    fill(this);
    return this.#close(at);
  }

  /** The finished message, numbered. A view of the writer's own buffer: valid until the next change. */
  finish(sequence: number): Bytes {
    this.#view.setUint32(NLMSGHDR.length, this.#end, true);
    this.#view.setUint32(NLMSGHDR.sequence, sequence, true);
    return this.#bytes.subarray(0, this.#end);
  }

  #begin(type: number): number {
    this.#grow(align(this.#end) - this.#end);
    const at = this.#grow(NLATTR.size);
    this.#view.setUint16(at + NLATTR.type, type, true);
    return at;
  }
  #close(at: number): this {
    const length = this.#end - at;
    if (length > 0xffff) throw new RangeError(`a netlink attribute has at most 65535 bytes, not ${length}`);
    this.#view.setUint16(at + NLATTR.length, length, true);
    this.#grow(align(this.#end) - this.#end);
    return this;
  }
  #grow(size: number): number {
    const at = this.#end;
    this.#end += size;
    if (this.#end > this.#bytes.length) {
      const larger = allocate(Math.max(this.#end, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** One received message: a window of the receive buffer, valid until the next receive. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly view: DataView;
  /** The payload is [start, end). */
  readonly start: number;
  readonly end: number;
}

/** The messages in the first `length` bytes. Stops at the first one that does not fit: what follows cannot be found. */
export function* readMessages(view: DataView, length: number): Generator<Message> {
  const limit = Math.min(length, view.byteLength);
  for (let at = 0; at + NLMSGHDR.size <= limit; ) {
    const size = view.getUint32(at + NLMSGHDR.length, true);
    if (size < NLMSGHDR.size || at + size > limit) return;
    yield {
      type: view.getUint16(at + NLMSGHDR.type, true),
      flags: view.getUint16(at + NLMSGHDR.flags, true),
      sequence: view.getUint32(at + NLMSGHDR.sequence, true),
      view,
      start: at + NLMSGHDR.size,
      end: at + size,
    };
    at += align(size);
  }
}

/** The attributes of one level. Absent and too short ones read as undefined, unknown types are never looked at. When a type occurs twice
 *  the last one counts, as in the kernel's own parser. */
export class Attributes {
  readonly #view: DataView;
  readonly #found: readonly number[]; // type, start, length of each

  private constructor(view: DataView, found: readonly number[]) {
    this.#view = view;
    this.#found = found;
  }

  /** Reads [start, end) of `view`; anything after a malformed attribute is ignored. */
  static read(view: DataView, start: number, end: number): Attributes {
    const found: number[] = [];
    const limit = Math.min(end, view.byteLength);
    for (let at = start; at >= 0 && at + NLATTR.size <= limit; ) {
      const length = view.getUint16(at + NLATTR.length, true);
      if (length < NLATTR.size || at + length > limit) break;
      found.push(view.getUint16(at + NLATTR.type, true) & NLA_TYPE_MASK, at + NLATTR.size, length - NLATTR.size);
      at += align(length);
    }
    return new Attributes(view, found);
  }
  /** Those behind a protocol header of `headerBytes`. */
  static of(message: Message, headerBytes: number): Attributes {
    return Attributes.read(message.view, message.start + headerBytes, message.end);
  }

  has(type: number): boolean {
    return this.#find(type, 0) >= 0;
  }
  u8(type: number): number | undefined {
    const at = this.#find(type, 1);
    return at < 0 ? undefined : this.#view.getUint8(at);
  }
  u16(type: number): number | undefined {
    const at = this.#find(type, 2);
    return at < 0 ? undefined : this.#view.getUint16(at, true);
  }
  u16be(type: number): number | undefined {
    const at = this.#find(type, 2);
    return at < 0 ? undefined : this.#view.getUint16(at);
  }
  u32(type: number): number | undefined {
    const at = this.#find(type, 4);
    return at < 0 ? undefined : this.#view.getUint32(at, true);
  }
  i32(type: number): number | undefined {
    const at = this.#find(type, 4);
    return at < 0 ? undefined : this.#view.getInt32(at, true);
  }
  /** Exact up to 2^53. */
  u64(type: number): number | undefined {
    const at = this.#find(type, 8);
    return at < 0 ? undefined : Number(this.#view.getBigUint64(at, true));
  }
  /** A 48-bit address; undefined when the attribute has another length. */
  mac(type: number): number | undefined {
    const at = this.#find(type, 6);
    if (at < 0 || this.#lengthOf(type) !== 6) return undefined;
    return this.#view.getUint16(at) * 2 ** 32 + this.#view.getUint32(at + 2);
  }
  text(type: number): string | undefined {
    const at = this.#find(type, 0);
    if (at < 0) return undefined;
    const bytes = new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, this.#lengthOf(type));
    return readCString(bytes);
  }
  /** A copy. */
  bytes(type: number): Bytes | undefined {
    const at = this.#find(type, 0);
    if (at < 0) return undefined;
    const copy = allocate(this.#lengthOf(type));
    copy.set(new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, copy.length));
    return copy;
  }
  /** The attributes inside; empty when there is none of this type. */
  nested(type: number, headerBytes = 0): Attributes {
    const at = this.#find(type, headerBytes);
    return at < 0 ? NONE : Attributes.read(this.#view, at + headerBytes, at + this.#lengthOf(type));
  }
  /** Every attribute as a nest of its own, in order, whatever its type: how the kernel writes lists. */
  children(): Attributes[] {
    const all: Attributes[] = [];
    for (let i = 0; i < this.#found.length; i += 3) {
      const [at, length] = [this.#found[i + 1]!, this.#found[i + 2]!]; // found grows by threes
      all.push(Attributes.read(this.#view, at, at + length));
    }
    return all;
  }
  #find(type: number, minimum: number): number {
    for (let i = this.#found.length - 3; i >= 0; i -= 3) {
      if (this.#found[i] === type) return this.#found[i + 2]! >= minimum ? this.#found[i + 1]! : -1; // found grows by threes
    }
    return -1;
  }
  #lengthOf(type: number): number {
    for (let i = this.#found.length - 3; i >= 0; i -= 3) if (this.#found[i] === type) return this.#found[i + 2]!;
    return 0;
  }

  static readonly none: Attributes = new Attributes(new DataView(new ArrayBuffer(0)), []);
}
const NONE = Attributes.none;
