// SPDX-License-Identifier: Apache-2.0
// `--rewrite-inspect`: Docker's description of a container, with its address on the network in place of the one on Docker's bridge.
import type { AttachmentView } from "../attach/attacher.ts";
import { isIpv6 } from "../net/ip.ts";
import { formatMac } from "../net/mac.ts";
import { JsonText } from "./json-text.ts";

/** @throws {SyntaxError} the answer is no JSON object */
export function rewriteInspect(answer: string, { mac, addresses }: Pick<AttachmentView, "mac" | "addresses">): string {
  const first = addresses.find(({ address }) => !isIpv6(address)) ?? addresses[0];
  if (!first) return answer;
  const body = new JsonText(answer);
  body.set(["NetworkSettings", "MacAddress"], formatMac(mac));
  body.set(["NetworkSettings", "IPAddress"], first.address);
  body.set(["NetworkSettings", "IPPrefixLen"], first.prefixLength);
  return body.text;
}
