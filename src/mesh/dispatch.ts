// SPDX-License-Identifier: Apache-2.0
// Every message of a neighbour finds the part it is for. What cannot be read is counted and costs nothing else: the connection is
// authenticated and sealed, so the sender is a peer of another version or with a bug, and its frames shall go on flowing.
import type { Counter } from "../runtime/counters.ts";
import { errorText, ProtocolError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Conflicts } from "./conflicts.ts";
import type { Connector } from "./connector.ts";
import type { RecordExchange } from "./exchange.ts";
import type { GossipChannels } from "./gossip.ts";
import type { Liveness } from "./liveness.ts";
import type { Message } from "./message.ts";
import type { Neighbour } from "./neighbour.ts";
import type { Neighbours } from "./neighbours.ts";
import type { Wire } from "./options.ts";
import { formatPeer, type PeerName } from "./peer-name.ts";
import type { Link } from "./ports.ts";
import type { Sync } from "./sync.ts";

export interface Recipients {
  readonly self: PeerName;
  readonly wire: Wire;
  readonly log: Log;
  readonly badMessages: Counter;
  readonly neighbours: Neighbours;
  readonly exchange: RecordExchange;
  readonly sync: Sync;
  readonly gossip: GossipChannels;
  readonly liveness: Liveness;
  readonly conflicts: Conflicts;
  readonly connector: Connector;
  revoke(keys: readonly string[]): void;
}

export function dispatch(parts: Recipients, neighbour: Neighbour, link: Link, bytes: Uint8Array): void {
  let message: Message | undefined;
  try {
    message = parts.wire.decode(bytes);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    parts.badMessages.add("unreadable");
    parts.log.warn("message not understood", {
      peer: formatPeer(neighbour.name, neighbour.facts.nickname),
      reason: errorText(error),
    });
    return;
  }
  if (message?.type === "paths") parts.neighbours.pathMessage(neighbour, link, message.payload);
  else if (message) hand(parts, neighbour, message, bytes);
  else parts.badMessages.add("unknown-kind");
}

function hand(parts: Recipients, neighbour: Neighbour, message: Exclude<Message, { type: "paths" }>, bytes: Uint8Array): void {
  switch (message.type) {
    case "welcome":
      parts.neighbours.welcome(neighbour);
      parts.exchange.ownSeen({ name: parts.self, uid: message.knownUid, version: message.knownVersion });
      return;
    case "digest":
      parts.sync.receiveDigest(neighbour, message);
      return;
    case "list":
      parts.sync.receiveList(neighbour, message.versions);
      return;
    case "records":
      parts.sync.receiveRecords(neighbour, message);
      return;
    case "delta":
    case "record":
      parts.exchange.receive(neighbour, message, bytes);
      return;
    case "ping":
      neighbour.send({ type: "pong", token: message.token });
      return;
    case "pong":
      parts.neighbours.ponged(neighbour, message.token);
      return;
    case "path":
      parts.neighbours.remotePath(neighbour, message.up, message.ask ? "ask" : "tell");
      return;
    case "suspect":
      parts.liveness.hint(message.peer);
      return;
    case "leave":
      neighbour.hasLeft = !message.comesBack;
      return;
    case "broadcast":
      parts.gossip.receiveBroadcast(neighbour, message, bytes);
      return;
    case "unicast":
      parts.gossip.receiveUnicast(message);
      return;
    case "channel-digest":
      parts.gossip.receiveDigest(neighbour, message);
      return;
    case "channel-repair":
      parts.gossip.receiveRepair(neighbour, message);
      return;
    case "refer":
      parts.connector.referred(message.peers);
      return;
    case "revoked":
      parts.revoke(message.keys);
      return;
    default:
      message satisfies never;
  }
}
