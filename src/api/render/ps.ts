// SPDX-License-Identifier: Apache-2.0
// `weave ps`: `<id or word, at most 12 characters> <mac> <cidr> <cidr>…`, single spaces.
import type { PsEntry } from "../status.ts";

const ID_CHARACTERS = 12;

export function renderPs(entries: readonly PsEntry[]): string {
  return entries.map((entry) => `${[label(entry), entry.mac, ...entry.addresses].join(" ")}\n`).join("");
}

function label({ asked, id }: PsEntry): string {
  const word = asked ?? id;
  // Only container ids and words are cut; what has a colon is a name that would lose its meaning.
  return asked === null && word.includes(":") ? word : word.slice(0, ID_CHARACTERS);
}
