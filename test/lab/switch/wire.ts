// SPDX-License-Identifier: Apache-2.0
// Hand-made datagrams from one host's namespace to another host's data port, and what the switch there counted.
import type { DropReason, SwitchEvent } from "../../../native/bpf/maps.ts";
import { EVENTS } from "../../../native/bpf/maps.ts";
import {
  bindSocket,
  closeSocket,
  inNetns,
  int32,
  openSocket,
  sendPacketTo,
  setSocketOption,
  stableBytes,
} from "../../support/libc.ts";
import { waitFor } from "../../support/wait.ts";
import { DATA_PORT, type Node, netnsPath } from "./world.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const IPPROTO_IP = 0;
const IP_TTL = 2;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;

function inet(address: string, port: number): Uint8Array {
  const bytes = stableBytes(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  bytes.set(Uint8Array.from(address.split("."), Number), 4);
  return bytes;
}
/** A plain UDP socket: what it sends is VXLAN only because its bytes say so. */
export class Wire implements Disposable {
  readonly #fd: number;
  readonly #to: Uint8Array;

  constructor(from: Node, to: string, options: { source?: string; ttl?: number } = {}) {
    this.#to = inet(to, DATA_PORT);
    this.#fd = inNetns(netnsPath(from.netns), () => {
      const fd = openSocket(AF_INET, SOCK_DGRAM, 0);
      setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, int32(8 << 20));
      if (options.source) bindSocket(fd, inet(options.source, 0));
      if (options.ttl) setSocketOption(fd, IPPROTO_IP, IP_TTL, int32(options.ttl));
      return fd;
    });
  }
  send(datagram: Uint8Array): boolean {
    const stable = stableBytes(datagram.length);
    stable.set(datagram);
    return sendPacketTo(this.#fd, stable, this.#to);
  }
  [Symbol.dispose](): void {
    closeSocket(this.#fd);
  }
}

/** The number of a drop reason or an event so far. */
export function count(node: Node, name: DropReason | SwitchEvent): number {
  const counters = node.inside(() => node.datapath.counters());
  return isEvent(name) ? counters.events[name].packets : counters.drops[name].packets;
}
function isEvent(name: string): name is SwitchEvent {
  return EVENTS.some((event) => event === name);
}

/** Does `act` and waits until `name` was counted `times` more. @throws {Error} with all counters that moved instead */
export async function expectCount(node: Node, name: DropReason | SwitchEvent, act: () => void, times = 1): Promise<void> {
  const before = node.inside(() => node.datapath.counters());
  const start = count(node, name);
  act();
  await waitFor(`${times} x ${name} on ${node.name}`, () => count(node, name) - start >= times, {
    deadlineMs: 2_000,
    everyMs: 2,
    show: () => moved(node, before),
  });
}

function moved(node: Node, before: ReturnType<Node["datapath"]["counters"]>): string[] {
  const now = node.inside(() => node.datapath.counters());
  const differences = (was: object, is: object) =>
    Object.keys(is).filter((name) => JSON.stringify(Reflect.get(was, name)) !== JSON.stringify(Reflect.get(is, name)));
  return [...differences(before.drops, now.drops), ...differences(before.events, now.events)];
}
