// SPDX-License-Identifier: Apache-2.0
// `weave status peers`: every peer, and below it what it says of its connections.
import type { StatusModel } from "../status.ts";
import { arrow, peerText } from "./text.ts";

export function renderPeers({ router }: StatusModel): string {
  let text = "";
  for (const peer of router.peers) {
    text += `${peerText(peer)}\n`;
    for (const connection of peer.connections) {
      const state = connection.established ? "established" : "pending";
      text += `   ${arrow(connection.outbound)} ${connection.address.padEnd(21)} ${peerText(connection).padEnd(37)} ${state}\n`;
    }
  }
  return text;
}
