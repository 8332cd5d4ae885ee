// SPDX-License-Identifier: Apache-2.0
// How the underlay leads to a neighbour: our address towards it, and whether frames of others may be relayed to it by rewriting their outer
// header. That needs an Ethernet device we watch, and that no watched device takes larger packets than the way out does: the short cut does
// not make "too big" answers.
import { isSystemError } from "../../native/errno.ts";
import { removeEmptyClsact } from "../../native/libbpf/clsact.ts";
import { NetlinkSocket } from "../../native/netlink/socket.ts";
import type { Ip } from "../net/ip.ts";
import type { Way } from "./datapath-codec.ts";
import { type Link, Links } from "./links.ts";
import { Routes } from "./routes.ts";

export class Underlay implements Disposable {
  readonly #links: Links;
  readonly #socket: NetlinkSocket;
  readonly #routes: Routes;
  #watched: readonly Link[] = [];
  #largestMtuBytes = 0;
  readonly #known = new Map<Ip, Way>();

  private constructor(links: Links, socket: NetlinkSocket) {
    this.#links = links;
    this.#socket = socket;
    this.#routes = new Routes(socket);
  }
  /** That of the calling thread's namespace. @throws {SystemError} */
  static open(): Underlay {
    const links = Links.open();
    try {
      return new Underlay(links, NetlinkSocket.open());
    } catch (thrown) {
      links[Symbol.dispose]();
      throw thrown;
    }
  }
  [Symbol.dispose](): void {
    this.#links[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
  }

  get links(): Links {
    return this.#links;
  }
  /** All links there are now. */
  indexes(): number[] {
    return this.#links.list().map((link) => link.index);
  }
  /** Takes the clsact discipline away where no filter is left. */
  removeEmptyClsacts(ifindexes: readonly number[]): void {
    for (const index of ifindexes) removeEmptyClsact(this.#socket, index);
  }

  /** Takes those of `ifindexes` that exist and speak Ethernet, and tells which; forgets what was known of routes. */
  watch(ifindexes: readonly number[]): readonly number[] {
    const wanted = new Set(ifindexes);
    // Links without a MAC (tunnels, loopback) have no Ethernet header, which the programs expect.
    this.#watched = this.#links.list().filter((link) => wanted.has(link.index) && link.mac !== 0);
    this.#largestMtuBytes = Math.max(0, ...this.#watched.map((link) => link.mtuBytes));
    this.#known.clear();
    return this.#watched.map((link) => link.index);
  }

  /** Looks the way up once and remembers it until `watch`. */
  way(address: Ip): Way {
    const known = this.#known.get(address);
    if (known) return known;
    const found = this.#lookUp(address);
    this.#known.set(address, found);
    return found;
  }

  #lookUp(address: Ip): Way {
    const unreachable = { local: undefined, via: undefined, relayIfindex: 0 };
    try {
      const route = this.#routes.towards(address);
      if (route?.source === undefined) return unreachable;
      const out = this.#watched.find((link) => link.index === route.linkIndex);
      const mtuBytes = Math.min(out?.mtuBytes ?? 0, route.mtuBytes ?? Number.POSITIVE_INFINITY);
      const canRewrite = out !== undefined && !route.local && mtuBytes >= this.#largestMtuBytes;
      return { local: route.source, via: route.gateway ?? address, relayIfindex: canRewrite ? out.index : 0 };
    } catch (thrown) {
      if (isSystemError(thrown)) return unreachable; // the kernel routes it at sending time anyway
      throw thrown;
    }
  }
}
