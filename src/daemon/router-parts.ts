// SPDX-License-Identifier: Apache-2.0
// What the status model needs of the kernel and the overlay, read when it is asked for.
import type { DaemonConfig } from "../config/load.ts";
import { formatPeerName } from "../mesh/peer-name.ts";
import { PROTOCOL_VERSIONS } from "../mesh/secure/preamble.ts";
import type { WireguardTotals } from "../metrics/transport-stats.ts";
import { formatCidr } from "../net/cidr.ts";
import type { Overlay } from "../overlay/paths.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Counter } from "../runtime/counters.ts";
import type { HostWireguard } from "./host-wireguard.ts";
import type { KernelPlane } from "./kernel-plane.ts";
import type { RouterParts } from "./status-model.ts";

export function routerParts(
  config: DaemonConfig,
  kernel: KernelPlane,
  overlay: Overlay,
  repairs: Counter,
): Omit<RouterParts, "mesh"> {
  const { drops, events, peers } = kernel.datapath.counters();
  return {
    port: config.port,
    protocol: PROTOCOL_VERSIONS,
    passwordSet: config.passwords.length > 0,
    discovery: !config.noDiscovery,
    trustedSubnets: config.trustedSubnets.map(formatCidr),
    switch: {
      kind: kernel.datapath.kind,
      macs: kernel.datapath.macs(),
      drops,
      events,
      peers,
      ports: kernel.datapath.ports().size,
      repairs: repairs.read().get("") ?? 0,
    },
    mtuBytes: kernel.mtuBytes,
    nowMs: systemClock.wallMs(),
    pathOf: (name) => overlay.pathOf(name),
  };
}

export function wireguardTotals({ current }: HostWireguard, overlay: Overlay): WireguardTotals | undefined {
  if (typeof current === "string") return undefined;
  const figures = current.figures();
  const peers = overlay.insideAddresses().flatMap(({ name, nickname, inside }) => {
    const counted = figures.get(inside);
    if (!counted) return [];
    const { sentBytes, receivedBytes, handshakeMs } = counted;
    return [{ name: formatPeerName(name), nickname, sentBytes, receivedBytes, handshakeMs }];
  });
  return { peers };
}
