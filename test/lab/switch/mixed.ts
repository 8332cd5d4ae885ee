// SPDX-License-Identifier: Apache-2.0
// A small world whose hosts reach each other in several ways: clear, inside WireGuard, by the sleeve. A cable plays WireGuard's device, so that
// the addresses on it are inside ones; the sleeve is the tests' own.
import type { Path, PathKind } from "../../../src/overlay/plan.ts";
import { SleeveCable } from "../../support/sleeve-cable.ts";
import { addressOn } from "./plans.ts";
import { type Cable, type Node, netnsPath, World, type WorldOptions } from "./world.ts";

/** Ways by the names of both hosts; the others are clear. */
export type Ways = Readonly<Record<string, PathKind>>;

function kindOf(ways: Ways, cable: Cable): PathKind {
  return ways[`${cable.a.name}-${cable.b.name}`] ?? "fastdp";
}
export function pathOver(kind: PathKind, cable: Cable, neighbour: Node): Path {
  return kind === "sleeve" ? { kind } : { kind, address: addressOn(cable, neighbour) };
}

/** All hosts have sleeve links, with a cable between them. */
export class Mixed implements AsyncDisposable {
  readonly world: World;
  readonly cable: SleeveCable;
  readonly #ways: Ways;

  private constructor(world: World, cable: SleeveCable, ways: Ways) {
    this.world = world;
    this.cable = cable;
    this.#ways = ways;
  }
  static async open(ways: Ways, options: WorldOptions): Promise<Mixed> {
    const world = new World({
      ...options,
      sleeves: true,
      pathOf: (cable, neighbour) => pathOver(kindOf(ways, cable), cable, neighbour),
    });
    try {
      const ends = [...world.nodes.values()].map(({ netns, id }) => ({ netns: netnsPath(netns), id }));
      const mixed = new Mixed(world, await SleeveCable.plug(ends), ways);
      mixed.tellWireguard();
      return mixed;
    } catch (thrown) {
      world[Symbol.dispose]();
      throw thrown;
    }
  }
  /** Says which cable is the inside of WireGuard. */
  tellWireguard(): void {
    for (const node of this.world.nodes.values()) {
      const inside = node.cables.find((cable) => kindOf(this.#ways, cable) === "wireguard");
      if (inside) node.inside(() => node.datapath.setWireguard(node.ifindex(inside.devices.get(node) ?? "")));
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.cable[Symbol.asyncDispose]();
    this.world[Symbol.dispose]();
  }
}
