// SPDX-License-Identifier: Apache-2.0
// Domain names in two forms: the text people write, with a trailing dot, and the key by which they are found, the lower-case wire form as
// Latin-1 text (RFC 1035 section 3.1: length, label, … zero). A question is looked up by its own bytes, so no text is made for it.

declare const brand: unique symbol;
/** Lower-case wire form, one character per byte. */
export type NameKey = string & { readonly [brand]: "NameKey" };

export interface DomainName {
  /** As written, with a trailing dot. */
  readonly text: string;
  readonly key: NameKey;
}

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;
/** Bytes of a name on the wire. */
const WIRE_MAX = 255;

/** Reads `web.weave.local` or `web.weave.local.`; undefined: not a host name. */
export function parseName(text: string): DomainName | undefined {
  const labels = text.replace(/\.$/, "").split(".");
  if (labels.some((label) => !LABEL.test(label))) return undefined;
  const key = keyOf(labels);
  return key.length <= WIRE_MAX ? { text: `${labels.join(".")}.`, key } : undefined;
}

function keyOf(labels: readonly string[]): NameKey {
  return `${labels.map((label) => String.fromCharCode(label.length) + label.toLowerCase()).join("")}\0` as NameKey;
}

/** Below `domain`, not the domain itself. */
export function isBelow(name: NameKey, domain: NameKey): boolean {
  if (name.length <= domain.length || !name.endsWith(domain)) return false;
  // The suffix has to begin at a label: a label's own bytes may look like a length.
  const start = name.length - domain.length;
  let at = 0;
  while (at < start) at += name.charCodeAt(at) + 1;
  return at === start;
}

export function isSingleLabel(name: NameKey): boolean {
  return name.length > 1 && name.charCodeAt(0) + 2 === name.length;
}

/** The single label under `domain`. */
export function qualify(label: NameKey, domain: NameKey): NameKey {
  return (label.slice(0, -1) + domain) as NameKey;
}

/** The wire form with the case as written. */
export function wireName({ text }: Pick<DomainName, "text">): Uint8Array {
  const labels = text.replace(/\.$/, "").split(".");
  const wire = labels.map((label) => String.fromCharCode(label.length) + label).join("");
  return Uint8Array.from(`${wire}\0`, (character) => character.charCodeAt(0));
}

/** The name a container or namespace gets: its own host name when that lies in the domain; a host name in another domain keeps it out of
 *  ours; without a domain, its host name when somebody chose one, else what people call it. undefined: none of these is a host name. */
export function nameOfTarget(
  target: { readonly name: string; readonly id?: string; readonly hostname?: string; readonly domain?: string },
  domain: DomainName,
): DomainName | undefined {
  const { hostname = "", domain: own = "" } = target;
  const [first = "", ...rest] = own === "" ? hostname.split(".") : [hostname, own];
  if (rest.length > 0) {
    const full = parseName([first, ...rest].join("."));
    return full && isBelow(full.key, domain.key) ? full : undefined;
  }
  const chosen = first !== "" && !(target.id ?? "").startsWith(first) ? first : lastPart(target.name);
  return parseName(`${chosen}.${domain.text}`);
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}
