// SPDX-License-Identifier: Apache-2.0
// Names of addresses: `4.3.2.1.in-addr.arpa.` (RFC 1035 section 3.5) and nibbles under `ip6.arpa.` (RFC 3596 section 2.5), from their keys.
import { type Ip, ipFromBytes } from "../net/ip.ts";
import { type NameKey, parseName } from "./name.ts";

const V4 = parseName("in-addr.arpa")!.key; // host names, as they stand here
const V6 = parseName("ip6.arpa")!.key;

/** Whether the name lies under one of the two, and which address it is the name of. */
export function readReverse(name: NameKey): { readonly address: Ip | undefined } | undefined {
  if (name.endsWith(V4)) return { address: readV4(labelsOf(name.slice(0, -V4.length))) };
  if (name.endsWith(V6)) return { address: readV6(labelsOf(name.slice(0, -V6.length))) };
  return undefined;
}

function labelsOf(wire: string): string[] {
  const labels: string[] = [];
  for (let at = 0; at < wire.length; ) {
    const length = wire.charCodeAt(at);
    labels.push(wire.slice(at + 1, at + 1 + length));
    at += length + 1;
  }
  return labels.reverse();
}

function readV4(labels: readonly string[]): Ip | undefined {
  const isAddress = labels.length === 4 && labels.every((label) => /^(0|[1-9]\d{0,2})$/.test(label) && Number(label) < 256);
  return isAddress ? ipFromBytes(Uint8Array.from(labels, Number)) : undefined;
}

function readV6(labels: readonly string[]): Ip | undefined {
  if (labels.length !== 32 || labels.some((label) => !/^[0-9a-f]$/.test(label))) return undefined;
  return ipFromBytes(Uint8Array.fromHex(labels.join("")));
}
