// SPDX-License-Identifier: Apache-2.0
// The veth pair between our bridge and another one of this host: `vethwebl…` on ours, `vethwebg…` on the other. Fits `attach/ports.ts`.
import { bridgePair } from "../attach/link-name.ts";
import type { BridgeJoints } from "../attach/ports.ts";
import type { Mac } from "../net/mac.ts";
import { UserError } from "../runtime/errors.ts";
import type { Link, Links } from "./links.ts";

export class HostBridgeJoints implements BridgeJoints {
  readonly #links: Links;
  readonly #own: string;
  readonly #hostName: string;

  /** @param own name of our bridge */
  constructor(links: Links, own: string, hostName: string) {
    this.#links = links;
    this.#own = own;
    this.#hostName = hostName;
  }

  check(name: string): void {
    if (name === this.#own) {
      throw new UserError("bad-request", `cannot attach '${name}' to itself`, "name another bridge of this host");
    }
    this.#bridge(name);
  }

  port(name: string): { readonly ifindex: number; readonly mac: Mac } | undefined {
    const near = this.#links.get(bridgePair(this.#hostName, name).near.name);
    return near && { ifindex: near.index, mac: near.mac };
  }

  ensure(name: string, guard: (ifindex: number) => void): readonly string[] {
    const own = this.#bridge(this.#own);
    const other = this.#bridge(name);
    const plan = bridgePair(this.#hostName, name);
    const changes: string[] = [];
    let near = this.#links.get(plan.near.name);
    let far = this.#links.get(plan.far.name);
    if (!near || !far || near.peerIndex !== far.index) {
      this.remove(name);
      const { mtuBytes } = own;
      this.#links.createVeth({ ...plan.near, mtuBytes }, { ...plan.far, mtuBytes });
      near = this.#links.get(plan.near.name);
      far = this.#links.get(plan.far.name);
      changes.push("made");
    }
    if (!near || !far) throw new Error(`link '${plan.near.name}' vanished while it was set up`);
    // The port is the switch's before it can carry a frame.
    changes.push(...this.#place(near, own, own.mtuBytes));
    guard(near.index);
    changes.push(...this.#place(far, other, own.mtuBytes), ...this.#switchOn(near), ...this.#switchOn(far));
    return changes.map((change) => `bridge '${name}': ${change}`);
  }

  remove(name: string): void {
    const { near, far } = bridgePair(this.#hostName, name);
    this.#links.delete(near.name);
    this.#links.delete(far.name);
  }

  #place(end: Link, bridge: Link, mtuBytes: number): string[] {
    const changes: string[] = [];
    if (!end.addressless) this.#links.setAddressless(end.index); // a port is not a host of its own
    if (end.mtuBytes !== mtuBytes) {
      this.#links.change(end.index, { mtuBytes });
      changes.push(`MTU of '${end.name}' set`);
    }
    if (end.master !== bridge.index) {
      this.#links.change(end.index, { master: bridge.index });
      changes.push(`'${end.name}' put on '${bridge.name}'`);
    }
    return changes;
  }

  #switchOn(end: Link): string[] {
    if (end.up) return [];
    this.#links.change(end.index, { up: true });
    return [`'${end.name}' switched on`];
  }

  #bridge(name: string): Link {
    const link = this.#links.get(name);
    if (link?.bridge) return link;
    if (link)
      throw new UserError(
        "bad-request",
        `'${name}' is a ${link.kind || "hardware"} link, not a bridge`,
        "see: ip -br link show type bridge",
      );
    throw new UserError("not-found", `there is no bridge '${name}' on this host`, "see: ip -br link show type bridge");
  }
}
