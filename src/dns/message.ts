// SPDX-License-Identifier: Apache-2.0
// DNS messages as bytes (RFC 1035 section 4, EDNS of RFC 6891): the question of a request, and answers that repeat it. Reading is total. Written by
// hand, because this runs for every query and on anybody's bytes: nothing is built but the name's key.
//   offset size field
//        0    2 id
//        2    2 flags     QR 0x8000, opcode 0x7800, AA 0x0400, TC 0x0200, RD 0x0100, RA 0x0080, rcode 0x000f
//        4    8 counts    questions, answers, authorities, additional records
//       12      question  name, type, class
import type { NameKey } from "./name.ts";

export const HEADER_BYTES = 12;
export const UDP_BYTES = 512;
/** What we tell others that we take, and the most we send over UDP: fits every path unfragmented (DNS flag day 2020). */
export const EDNS_BYTES = 1232;
/** A longer one cannot be framed over TCP. */
export const MESSAGE_MAX = 65_535;

export const TYPE = { a: 1, ptr: 12, aaaa: 28, opt: 41, any: 255 } as const;
export const CLASS_IN = 1;
export const RCODE = { ok: 0, format: 1, failure: 2, noName: 3, notImplemented: 4, refused: 5 } as const;
const FLAG = {
  reply: 0x8000,
  opcode: 0x7800,
  authoritative: 0x0400,
  truncated: 0x0200,
  wanted: 0x0100,
  available: 0x0080,
} as const;
const LABELS_MAX = 127;
const RECORDS_MAX = 32;

export interface Question {
  readonly id: number;
  readonly flags: number;
  readonly key: NameKey;
  readonly type: number;
  readonly class: number;
  /** Where the question ends in the request. */
  readonly end: number;
  /** UDP payload the client takes; undefined: it does not speak EDNS. */
  readonly ednsBytes: number | undefined;
}

/** A request that cannot be answered from names: what to say instead. undefined: nothing, it was no request. */
export type BadRequest = { readonly rcode: number; readonly end: number } | undefined;

const readUint16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!; // callers check the length

/** Reads a request. A `BadRequest` when it has no one question that can be read. */
export function readQuestion(bytes: Uint8Array): { readonly question: Question } | { readonly bad: BadRequest } {
  if (bytes.length < HEADER_BYTES || bytes.length > MESSAGE_MAX) return { bad: undefined };
  const flags = readUint16(bytes, 2);
  if (flags & FLAG.reply) return { bad: undefined };
  if (flags & FLAG.opcode) return { bad: { rcode: RCODE.notImplemented, end: HEADER_BYTES } };
  const malformed = { bad: { rcode: RCODE.format, end: HEADER_BYTES } };
  if (readUint16(bytes, 4) !== 1) return malformed;
  const nameEnd = plainNameEnd(bytes, HEADER_BYTES);
  if (nameEnd === undefined || nameEnd + 4 > bytes.length) return malformed;
  const end = nameEnd + 4;
  const ednsBytes = readEdns(bytes, end);
  if (ednsBytes === "malformed") return malformed;
  const key = keyAt(bytes, HEADER_BYTES, nameEnd);
  const [type, klass] = [readUint16(bytes, nameEnd), readUint16(bytes, nameEnd + 2)];
  return { question: { id: readUint16(bytes, 0), flags, key, type, class: klass, end, ednsBytes } };
}

/** Where a name is made lower case; used within one call only. */
const scratch = Buffer.alloc(256);

/** Lower case without looking at labels: their lengths, at most 63, are below the letters. */
function keyAt(bytes: Uint8Array, from: number, to: number): NameKey {
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    scratch[at - from] = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
  }
  return scratch.toString("latin1", 0, to - from) as NameKey;
}

/** End of an uncompressed name; in the first question there is nothing a pointer could point to. */
function plainNameEnd(bytes: Uint8Array, start: number): number | undefined {
  let at = start;
  for (let labels = 0; labels <= LABELS_MAX; labels++) {
    const length = bytes[at];
    if (length === undefined || length > 63) return undefined;
    at += length + 1;
    if (at - start > 255) return undefined;
    if (length === 0) return at;
  }
  return undefined;
}

/** Steps over the records behind the question to find an OPT. */
function readEdns(bytes: Uint8Array, start: number): number | undefined | "malformed" {
  const count = readUint16(bytes, 6) + readUint16(bytes, 8) + readUint16(bytes, 10);
  if (count > RECORDS_MAX) return "malformed";
  let at = start;
  let edns: number | undefined;
  for (let record = 0; record < count; record++) {
    const fixed = anyNameEnd(bytes, at);
    if (fixed === undefined || fixed + 10 > bytes.length) return "malformed";
    if (readUint16(bytes, fixed) === TYPE.opt) edns = readUint16(bytes, fixed + 2);
    at = fixed + 10 + readUint16(bytes, fixed + 8);
    if (at > bytes.length) return "malformed";
  }
  return edns;
}

function anyNameEnd(bytes: Uint8Array, start: number): number | undefined {
  let at = start;
  for (let labels = 0; labels <= LABELS_MAX; labels++) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if (length >= 0xc0) return at + 2;
    if (length > 63) return undefined;
    at += length + 1;
    if (length === 0) return at;
  }
  return undefined;
}

/** Records of one type about the question's own name. */
export interface Answers {
  readonly type: number;
  /** What they say, one after the other. */
  readonly data: Uint8Array;
  /** Bytes of each. */
  readonly size: number;
  /** Which of them comes first; the others follow in a circle. */
  readonly first: number;
}
export interface AnswerOptions {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly ttlSeconds: number;
  /** Most bytes; what does not fit is left out and the answer marked as cut. */
  readonly limitBytes: number;
}

const OPT_BYTES = 11;
/** Of a record before its data. */
const RECORD_BYTES = 12;

/** The answer to a request that was read. Takes nothing over. */
export function writeAnswer(
  request: Uint8Array,
  question: Question,
  answers: readonly Answers[],
  options: AnswerOptions,
): Uint8Array {
  const hasEdns = question.ednsBytes !== undefined;
  const room = options.limitBytes - question.end - (hasEdns ? OPT_BYTES : 0);
  let used = 0;
  let count = 0;
  let wanted = 0;
  for (const { data, size } of answers) {
    const length = RECORD_BYTES + size;
    const those = data.length / size;
    const fitting = wanted > count ? 0 : Math.max(0, Math.min(those, Math.floor((room - used) / length)));
    wanted += those;
    count += fitting;
    used += fitting * length;
  }
  const reply = new Uint8Array(question.end + used + (hasEdns ? OPT_BYTES : 0));
  for (let at = 0; at < question.end; at++) reply[at] = request[at]!; // so few bytes that a view for `set` costs more
  const cut = count < wanted ? FLAG.truncated : 0;
  const authority = options.authoritative ? FLAG.authoritative : 0;
  writeHeader(reply, (question.flags & FLAG.wanted) | cut | authority | options.rcode, [1, count, hasEdns ? 1 : 0]);
  let at = question.end;
  const end = at + used;
  for (const group of answers) {
    const { length } = group.data;
    for (let from = group.first * group.size, told = 0; told < length && at < end; told += group.size) {
      at = writeRecord(reply, at, group, from, options.ttlSeconds);
      from = (from + group.size) % length;
    }
  }
  if (hasEdns) writeOpt(reply, at);
  return reply;
}

/** Says no to a request that could not be read, or whose answer failed. */
export function writeRefusal(request: Uint8Array, { rcode, end }: { rcode: number; end: number }): Uint8Array {
  const reply = request.slice(0, end);
  writeHeader(reply, (readUint16(request, 2) & (FLAG.opcode | FLAG.wanted)) | rcode, [end > HEADER_BYTES ? 1 : 0, 0, 0]);
  return reply;
}

function writeHeader(reply: Uint8Array, flags: number, counts: readonly [number, number, number]): void {
  const all = flags | FLAG.reply | FLAG.available;
  reply[2] = all >> 8;
  reply[3] = all & 0xff;
  reply[4] = reply[8] = reply[9] = reply[10] = 0;
  reply[5] = counts[0];
  reply[6] = counts[1] >> 8;
  reply[7] = counts[1] & 0xff;
  reply[11] = counts[2];
}

function writeRecord(reply: Uint8Array, start: number, { type, data, size }: Answers, from: number, ttlSeconds: number): number {
  let at = start;
  const put = (value: number): void => {
    reply[at++] = value >>> 8;
    reply[at++] = value & 0xff;
  };
  put(0xc000 | HEADER_BYTES); // the question's name
  put(type);
  put(CLASS_IN);
  put(ttlSeconds >>> 16);
  put(ttlSeconds & 0xffff);
  put(size);
  for (let index = 0; index < size; index++) reply[at + index] = data[from + index]!;
  return at + size;
}

/** Root name, type, our payload size; no extended code, version 0, no options. */
function writeOpt(reply: Uint8Array, at: number): void {
  reply[at + 2] = TYPE.opt;
  reply[at + 3] = EDNS_BYTES >> 8;
  reply[at + 4] = EDNS_BYTES & 0xff;
}

/** Whether `reply` answers this request: the same id and question, whatever the case of its name. */
export function repliesTo(reply: Uint8Array, request: Uint8Array, questionEnd: number): boolean {
  if (reply.length < questionEnd || !((reply[2] ?? 0) & 0x80) || readUint16(reply, 4) !== 1) return false;
  if (reply[0] !== request[0] || reply[1] !== request[1]) return false;
  const nameEnd = questionEnd - 4;
  for (let at = nameEnd; at < questionEnd; at++) if (reply[at] !== request[at]) return false;
  return keyAt(reply, HEADER_BYTES, nameEnd) === keyAt(request, HEADER_BYTES, nameEnd);
}

/** The code of an answer. */
export function rcodeOf(reply: Uint8Array): number {
  return (reply[3] ?? 0) & 0x0f;
}
