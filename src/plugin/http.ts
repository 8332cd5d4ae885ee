// SPDX-License-Identifier: Apache-2.0
// What requests and answers on a plugin socket look like.

const CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json";
/** Docker's requests have some kB: a network's options, an endpoint's published ports. */
export const BODY_LIMIT_BYTES = 1024 * 1024;

/** Docker's Host header is no host name, so the URL as a whole cannot be read. */
export function methodOf(url: string): string {
  return /^(?:[a-z]+:\/\/[^/]*)?\/([^?#]*)/.exec(url)?.[1] ?? "";
}

export function reply(value: object): Response {
  return new Response(`${JSON.stringify(value)}\n`, { headers: { "Content-Type": CONTENT_TYPE } });
}

/** Docker shows `Err` to its user. */
export function failure(status: number, why: string): Response {
  return new Response(`${JSON.stringify({ Err: `weave: ${why}` })}\n`, { status, headers: { "Content-Type": CONTENT_TYPE } });
}
