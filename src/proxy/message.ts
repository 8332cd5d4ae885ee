// SPDX-License-Identifier: Apache-2.0
// Heads and bodies as they come over a wire, and answers of our own, in the form Docker gives its errors.
import { STATUS_CODES } from "node:http";
import type { Clock } from "../runtime/clock.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import { BodyEnd } from "./body.ts";
import { type BodyLength, HEAD_BYTES_MAX, headLength, MalformedHttp } from "./head.ts";
import type { Wire } from "./wire.ts";

/** A body that is read whole. */
export const BODY_BYTES_MAX = 4_194_304;
/** What a client sends must go on within this. */
const SLOW_MS = 30_000;
/** A head that has begun must be complete after that long, a body that is read whole after that: who sends a byte now and then holds nothing for long. */
const HEAD_MS = 60_000;
const BODY_MS = 300_000;

/** What we answer ourselves. */
export class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "Refusal";
    this.status = status;
  }
}

export function refusalOf(thrown: unknown): Refusal {
  if (thrown instanceof Refusal) return thrown;
  if (thrown instanceof MalformedHttp) return new Refusal(400, `weave proxy: ${thrown.message}`);
  if (!(thrown instanceof UserError)) return new Refusal(500, `weave proxy: ${errorText(thrown)}`, { cause: thrown });
  const hint = thrown.hint === "" ? "" : `; ${thrown.hint}`;
  return new Refusal(thrown.status, `weave: ${thrown.message}${hint}`, { cause: thrown });
}

export function encodeRefusal({ status, message }: Refusal, isLast: boolean): Uint8Array {
  const body = Buffer.from(`${JSON.stringify({ message })}\n`);
  const close = isLast ? "Connection: close\r\n" : "";
  return Buffer.concat([
    Buffer.from(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\nContent-Type: application/json\r\n${close}Content-Length: ${body.length}\r\n\r\n`,
    ),
    body,
  ]);
}

/** How long one who sends may take; Docker may take as long as it wants. */
export interface Patience {
  readonly clock: Clock;
  /** Nothing at all may come for so long: then there is no further message. */
  readonly idleMs: number;
}

/** A message's head with its empty line; undefined: there is no further message. @throws {MalformedHttp} @throws {Refusal} too slow, too long */
export async function readHead(wire: Wire, patience?: Patience): Promise<Uint8Array | undefined> {
  let bytes = Buffer.alloc(0);
  let room = Buffer.alloc(0);
  let inTime: (() => Promise<Uint8Array | undefined>) | undefined;
  for (;;) {
    const more = await (inTime ? inTime() : first(wire, patience));
    if (patience) inTime ??= timely(wire, patience.clock, HEAD_MS);
    if (more === undefined) {
      if (bytes.length === 0) return undefined;
      throw new MalformedHttp("the connection ended within a head");
    }
    const before = bytes.length;
    if (before + more.length > room.length) {
      room = Buffer.alloc(2 * (before + more.length));
      bytes.copy(room);
    }
    room.set(more, before);
    bytes = room.subarray(0, before + more.length);
    const length = headLength(bytes, Math.max(0, before - 2));
    if (length !== undefined && length <= HEAD_BYTES_MAX) {
      wire.unread(bytes.subarray(length));
      return bytes.subarray(0, length);
    }
    if (bytes.length > HEAD_BYTES_MAX)
      throw new Refusal(431, `weave proxy: the head of a message is longer than ${HEAD_BYTES_MAX} bytes`);
  }
}

/** The content of a whole body. @throws {MalformedHttp} @throws {Refusal} too slow, too long */
export async function readBody(wire: Wire, length: BodyLength, clock: Clock | undefined, max: number): Promise<Buffer> {
  const end = new BodyEnd(length);
  const parts: Uint8Array[] = [];
  let size = 0;
  const read = clock ? timely(wire, clock, BODY_MS) : () => wire.read();
  while (!end.done) {
    const bytes = await read();
    if (bytes === undefined) {
      if (length.kind === "until-close") break;
      throw new MalformedHttp("the connection ended within a body");
    }
    const taken = end.take(bytes, (content) => {
      parts.push(content);
      size += content.length;
    });
    if (size > max) throw new Refusal(413, `weave proxy: a body that must be read is longer than ${max} bytes`);
    wire.unread(bytes.subarray(taken));
  }
  return Buffer.concat(parts);
}

/** Passes a body on byte by byte. False: the sender's side ended within. @throws {MalformedHttp} @throws {WireClosed} */
export async function copyBody(from: Wire, to: Wire, length: BodyLength): Promise<boolean> {
  const end = new BodyEnd(length);
  while (!end.done) {
    const bytes = await from.read();
    if (bytes === undefined) return false;
    const taken = end.take(bytes);
    from.unread(bytes.subarray(taken));
    await to.write(bytes.subarray(0, taken));
  }
  return true;
}

async function first(wire: Wire, patience: Patience | undefined): Promise<Uint8Array | undefined> {
  using _ = patience?.clock.after(patience.idleMs, () => wire.stopReading());
  return await wire.read();
}

/** Reads until now and `wholeMs`. @throws {Refusal} it is over */
function timely(wire: Wire, clock: Clock, wholeMs: number): () => Promise<Uint8Array | undefined> {
  const end = clock.now() + wholeMs;
  return async () => {
    const limitMs = Math.min(SLOW_MS, end - clock.now());
    let isLate = false;
    using _ = clock.after(Math.max(0, limitMs), () => {
      isLate = true;
      wire.stopReading();
    });
    const bytes = await wire.read();
    if (!isLate) return bytes;
    const why =
      limitMs === SLOW_MS
        ? `nothing more of the request came for ${SLOW_MS / 1000} s`
        : `it was not complete after ${wholeMs / 1000} s`;
    throw new Refusal(408, `weave proxy: ${why}`);
  };
}
