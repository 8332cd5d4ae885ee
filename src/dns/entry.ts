// SPDX-License-Identifier: Apache-2.0
// One name at one address, held by one container of one peer.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Ip } from "../net/ip.ts";
import { parseName } from "./name.ts";

/** Names of nobody's container, which live until they are removed. */
export const EXTERN_OWNER = "weave:extern";

export interface Entry {
  /** With a trailing dot, case as registered. */
  readonly name: string;
  /** Full container id, `netns:/run/netns/web`, `weave:expose`, `weave:extern`. */
  readonly container: string;
  readonly address: Ip;
}

/** An entry of some peer, as the faces show it. */
export interface EntryView extends Entry {
  readonly origin: PeerName;
  readonly version: number;
  readonly removed: boolean;
}

/** Equal for entries that differ in the case of the name only. */
export function entryKey({ name, container, address }: Entry): string {
  return `${name.toLowerCase()} ${address} ${container}`;
}

/** Room for `netns:` and a path. */
export const CONTAINER_MAX = 512;

/** What is wrong with an entry; undefined: nothing. */
export function whyBadEntry({ name, container }: Entry): string | undefined {
  if (parseName(name)?.text !== name) return "not a full host name";
  return container.length > 0 && container.length <= CONTAINER_MAX ? undefined : "not a container";
}
