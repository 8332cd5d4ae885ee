// SPDX-License-Identifier: Apache-2.0
// `weave status dns`: `<name, 12> <address, 15> <container, at most 12 characters> <peer>`, the domain left out of the names.
import type { NameStatus } from "../status.ts";

const NAME_WIDTH = 12;
const ADDRESS_WIDTH = 15;
const ID_CHARACTERS = 12;

export function renderNames(names: readonly NameStatus[], domain: string): string {
  const lines = names.filter(({ removed }) => !removed).map((one) => line(one, domain));
  return lines.map((text) => `${text}\n`).join("");
}

function line({ name, address, container, origin }: NameStatus, domain: string): string {
  const suffix = `.${domain}`.toLowerCase();
  const short = name.toLowerCase().endsWith(suffix) ? name.slice(0, -suffix.length) : name;
  // Only container ids are cut; what has a colon is a name that would lose its meaning.
  const id = container.includes(":") ? container : container.slice(0, ID_CHARACTERS);
  return `${short.padEnd(NAME_WIDTH)} ${address.padEnd(ADDRESS_WIDTH)} ${id} ${origin}`;
}

/** By name without case, then peer, container, address. */
export function sortNames(names: readonly NameStatus[]): NameStatus[] {
  const keyed = names.map((one) => [`${one.name.toLowerCase()} ${one.origin} ${one.container} ${one.address}`, one] as const);
  return keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, one]) => one);
}
