// SPDX-License-Identifier: Apache-2.0
// Small words that several renderers share: names, times, attributes.
import type { ConnectionStatus } from "../status.ts";

/** `66:b4:a1:85:da:65(node2)` */
export function peerText(peer: { readonly name: string; readonly nickname: string }): string {
  return `${peer.name}(${peer.nickname})`;
}

export function arrow(outbound: boolean): "->" | "<-" {
  return outbound ? "->" : "<-";
}

/** `2026-11-21 07:21:26 +0000 UTC`, as Go prints a time in UTC, to the second. */
export function timeText(wallMs: number): string {
  return new Date(wallMs).toISOString().replace("T", " ").replace(/\..*$/, " +0000 UTC");
}

/** Frames can flow, or are about to: the other end is known and the line tells of the data path. */
export function isLive(
  connection: ConnectionStatus,
): connection is ConnectionStatus & { peer: { name: string; nickname: string } } {
  const connected = connection.state === "established" || connection.state === "pending";
  return connected && connection.peer !== null && connection.overlay !== "";
}

/** What is worth knowing of a live connection, by name; `name` is the transport. */
export function attributesOf(connection: ConnectionStatus): ReadonlyMap<string, string | number | boolean> {
  const attributes = new Map<string, string | number | boolean>();
  if (connection.control === "stale") attributes.set("control", "stale");
  if (connection.encrypted) attributes.set("encrypted", true);
  if (connection.path && connection.path.loss > 0) attributes.set("loss", lossText(connection.path.loss));
  if (connection.mtuBytes !== null) attributes.set("mtu", connection.mtuBytes);
  attributes.set("name", connection.overlay);
  if (connection.reason !== "") attributes.set("reason", connection.reason);
  if (connection.rttMs !== null) attributes.set("rtt", `${msText(connection.rttMs)}ms`);
  if (connection.reason !== "") attributes.set("since", timeText(connection.sinceMs));
  return attributes;
}

/** With two digits behind the point below 10 ms, with one above. */
export function msText(ms: number): string {
  return ms.toFixed(ms < 10 ? 2 : 1);
}

/** A share of 0..1 as `3%`, `0.4%`. */
export function lossText(loss: number): string {
  const percent = loss * 100;
  return `${percent > 0 && percent < 1 ? Math.max(0.1, Number(percent.toFixed(1))) : Math.round(percent)}%`;
}
