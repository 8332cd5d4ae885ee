// SPDX-License-Identifier: Apache-2.0
// The bridge as the host's own interface (for `expose`), and the host's routes that must not overlap with the overlay.
import type { HostRoute, HostRoutes } from "../attach/ports.ts";
import type { BridgeInterface } from "../expose/exposure.ts";
import { type Cidr, cidrsOverlap, formatCidr } from "../net/cidr.ts";
import type { Mac } from "../net/mac.ts";
import { UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { announce } from "./announce.ts";
import { type Link, Links } from "./links.ts";
import type { Netns } from "./netns.ts";
import { announceOrWarn } from "./plumber-announce.ts";

export interface HostBridgeOptions {
  readonly bridge: string;
  /** The namespace to work in; default the calling thread's. Stays open as long as this is used. */
  readonly home?: Netns;
  readonly log: Log;
}

export class HostBridge implements BridgeInterface, HostRoutes, Disposable {
  readonly name: string;
  readonly #log: Log;
  readonly #home: Netns | undefined;
  readonly #host: Links;

  /** @throws {SystemError} */
  constructor(options: HostBridgeOptions) {
    this.name = options.bridge;
    this.#log = options.log;
    this.#home = options.home;
    this.#host = options.home ? Links.openIn(options.home) : Links.open();
  }
  [Symbol.dispose](): void {
    this.#host[Symbol.dispose]();
  }

  mac(): Mac | undefined {
    return this.#host.get(this.name)?.mac;
  }

  ensureAddress(cidr: Cidr): readonly string[] {
    const bridge = this.#bridge();
    const added = this.#host.addAddress(bridge.index, cidr, { noDuplicateDetection: true });
    return added ? [`${this.name}: address ${formatCidr(cidr)} added`] : [];
  }

  removeAddress(cidr: Cidr): void {
    const bridge = this.#host.get(this.name);
    if (bridge) this.#host.deleteAddress(bridge.index, cidr);
  }

  announce(addresses: readonly Cidr[]): void {
    const mac = this.mac();
    if (mac === undefined) return;
    const ips = addresses.map((cidr) => cidr.address);
    announceOrWarn(this.#log, this.name, () => announce(this.name, mac, ips, this.#home));
  }

  overlapping(cidr: Cidr): HostRoute | undefined {
    const bridge = this.#host.get(this.name)?.index;
    for (const route of this.#host.routes.list()) {
      const { destination, linkIndex } = route;
      if (destination.prefixLength === 0 || route.local || linkIndex === undefined || linkIndex === bridge) continue;
      if (isLinkScoped(destination) || !cidrsOverlap(destination, cidr)) continue;
      const device = this.#host.get(linkIndex);
      if (device && !device.loopback) return { destination, device: device.name };
    }
    return undefined;
  }

  #bridge(): Link {
    const bridge = this.#host.get(this.name);
    if (bridge?.bridge) return bridge;
    throw new UserError("unavailable", `the bridge '${this.name}' does not exist`, "weave makes it at start; see its log");
  }
}

// Every IPv6 link has these; they say nothing about where a subnet is.
function isLinkScoped(destination: Cidr): boolean {
  return /^(fe80|ff00):/.test(destination.address) || /^(224|239)\./.test(destination.address);
}
