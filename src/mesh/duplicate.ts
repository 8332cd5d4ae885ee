// SPDX-License-Identifier: Apache-2.0
// Two peers that dial each other at the same time get two connections. Both ends know both nonces of both, so both pick the same one
// without asking: the lower sum of nonces, which neither end can choose alone.
import type { Link } from "./ports.ts";

/** True when `a` stays and `b` goes. */
export function prefersLink(a: Link, b: Link): boolean {
  const sumA = a.hello.nonce + a.sentHello.nonce;
  const sumB = b.hello.nonce + b.sentHello.nonce;
  if (sumA !== sumB) return sumA < sumB;
  return diallerNonce(a) < diallerNonce(b);
}

function diallerNonce(link: Link): number {
  return link.outbound ? link.sentHello.nonce : link.hello.nonce;
}
