// SPDX-License-Identifier: Apache-2.0
// Heads of HTTP/1.1 messages (RFC 9112), read as Docker's own server reads them: lines end in LF, a CR before it does not count. What two readers could
// understand differently is refused, so that nobody hides a request from us inside another. The bytes themselves are passed on as they came.

/** Docker's server takes as much; credentials for several registries travel in headers. */
export const HEAD_BYTES_MAX = 1_048_576;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const LF = 10;
const CR = 13;

/** A message that is no HTTP. Closes the connection it came from. */
export class MalformedHttp extends Error {
  constructor(message: string) {
    super(message);
    this.name = "MalformedHttp";
  }
}

export interface Headers {
  readonly list: readonly (readonly [name: string, value: string])[];
}
export interface RequestHead extends Headers {
  readonly method: string;
  /** Path and query, as they came. */
  readonly target: string;
  readonly version: string;
}
export interface ResponseHead extends Headers {
  readonly status: number;
}

/** How long a message's body is. */
export type BodyLength =
  | { readonly kind: "bytes"; readonly count: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "until-close" };
const NO_BODY: BodyLength = { kind: "bytes", count: 0 };

/** Bytes of the head at the beginning of `bytes`, its empty line included; undefined: it is not complete. `from`: where looking may begin. */
export function headLength(bytes: Uint8Array, from = 0): number | undefined {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at + 1] === LF) return at + 2;
    if (bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
  }
  return undefined;
}

/** @throws {MalformedHttp} */
export function parseRequestHead(bytes: Uint8Array): RequestHead {
  const [first = "", ...lines] = linesOf(bytes);
  const [, method, target, version] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) (HTTP\/1\.[01])$/.exec(first) ?? [];
  if (method === undefined || target === undefined || version === undefined) {
    throw new MalformedHttp(`malformed request line '${first.slice(0, 80)}'`);
  }
  return { method, target, version, list: lines.map(parseHeader) };
}

/** @throws {MalformedHttp} */
export function parseResponseHead(bytes: Uint8Array): ResponseHead {
  const [first = "", ...lines] = linesOf(bytes);
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1];
  if (status === undefined) throw new MalformedHttp(`malformed status line '${first.slice(0, 80)}'`);
  return { status: Number(status), list: lines.map(parseHeader) };
}

function linesOf(bytes: Uint8Array): string[] {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1").split("\n");
  return lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line)).filter((line, at) => at === 0 || line !== "");
}

function parseHeader(line: string): readonly [string, string] {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(0, colon));
  // A line that begins with a space would go on the one before: some readers join them, others do not.
  if (!TOKEN.test(name)) throw new MalformedHttp(`malformed header line '${line.slice(0, 80)}'`);
  return [name, line.slice(colon + 1).trim()];
}

/** All values of a header, in order. */
export function headerValues({ list }: Headers, name: string): readonly string[] {
  const wanted = name.toLowerCase();
  return list.filter(([one]) => one.toLowerCase() === wanted).map(([, value]) => value);
}
/** Whether a word stands in a header that is a list of words. */
export function headerHas(head: Headers, name: string, word: string): boolean {
  return headerValues(head, name).some((value) =>
    value
      .toLowerCase()
      .split(",")
      .some((one) => one.trim() === word),
  );
}

/** @throws {MalformedHttp} */
export function requestBody(head: RequestHead): BodyLength {
  return declaredLength(head) ?? NO_BODY;
}

/** @throws {MalformedHttp} */
export function responseBody(method: string, head: ResponseHead): BodyLength {
  if (method === "HEAD" || head.status < 200 || head.status === 204 || head.status === 304) return NO_BODY;
  return declaredLength(head) ?? { kind: "until-close" };
}

function declaredLength(head: Headers): BodyLength | undefined {
  const codings = headerValues(head, "transfer-encoding");
  const lengths = new Set(headerValues(head, "content-length"));
  if (codings.length > 0) {
    if (lengths.size > 0) throw new MalformedHttp("both Content-Length and Transfer-Encoding");
    if (codings.length > 1 || codings[0]?.toLowerCase() !== "chunked")
      throw new MalformedHttp(`unknown transfer coding '${codings.join()}'`);
    return { kind: "chunked" };
  }
  if (lengths.size === 0) return undefined;
  const [text = ""] = lengths;
  if (lengths.size > 1 || !/^\d{1,15}$/.test(text)) throw new MalformedHttp(`bad Content-Length '${[...lengths].join()}'`);
  return { kind: "bytes", count: Number(text) };
}

/** The same request with another body. */
export function encodeRequest({ method, target, version, list }: RequestHead, body: Uint8Array): Uint8Array {
  const kept = list.filter(([name]) => !/^(content-length|transfer-encoding|trailer|expect)$/i.test(name));
  const lines = [
    `${method} ${target} ${version}`,
    ...kept.map(([name, value]) => `${name}: ${value}`),
    `Content-Length: ${body.length}`,
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), body]);
}

/** An answer with another body; everything else as it was. */
export function encodeResponse(head: ResponseHead, body: Uint8Array): Uint8Array {
  const kept = head.list.filter(([name]) => !/^(content-length|transfer-encoding|trailer)$/i.test(name));
  const lines = [
    `HTTP/1.1 ${head.status} OK`,
    ...kept.map(([name, value]) => `${name}: ${value}`),
    `Content-Length: ${body.length}`,
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), body]);
}
