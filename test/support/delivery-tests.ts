// SPDX-License-Identifier: Apache-2.0
// The promises about delivery, the same for every shape of mesh: group frames reach every container exactly once, known unicast only
// its addressee; while cables go away and come back nobody ever gets a frame twice, and afterwards all is as before.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Ledger } from "./delivery.ts";
import { type Mesh, mesh, type Shape, waitForCables } from "./shapes.ts";
import { attach } from "./weave.ts";

export function deliveryTests(shape: Shape, size: number): void {
  describe(`${shape} of ${size}`, () => {
    let world: Mesh;
    let ledger: Ledger;

    beforeAll(async () => {
      world = await mesh(shape, size);
      // A second container on one host: local switching and flooding at once.
      const [first] = world.hosts;
      if (first === undefined) throw new Error("a mesh has hosts");
      const neighbour = await attach(first, "local", "10.2.1.100/24");
      ledger = await Ledger.over([...world.containers, neighbour]);
    });
    afterAll(async () => {
      ledger?.[Symbol.dispose]();
      await world?.lab.close();
    });

    test("every group frame reaches every other container exactly once", async () => {
      expect(await ledger.groupFrames(25)).toEqual([]);
    });

    test("known unicast reaches only the addressee", async () => {
      expect(await ledger.groupFrames(1)).toEqual([]);
      expect(await ledger.unicastFrames(10)).toEqual([]);
    });

    test("while cables go away and come back nobody gets a frame twice, afterwards everybody gets each once", async () => {
      const { lab, hosts } = world;
      const disturbed = await ledger.during(async () => {
        for (const host of [hosts[1], hosts[2 % size]]) {
          if (host === undefined) continue;
          const segments = lab.segmentsOf(host).slice(0, 1);
          // Silent first: only liveness can tell. Then with the carrier: the kernel tells.
          for (const segment of segments) await segment.cut(host);
          await Bun.sleep(1_500);
          for (const segment of segments) await segment.heal(host);
          await Bun.sleep(300);
          for (const segment of segments) await segment.plug(host, "out");
          await Bun.sleep(300);
          for (const segment of segments) await segment.plug(host, "in");
          await Bun.sleep(300);
        }
      });
      expect(disturbed.frames).toBeGreaterThan(500);
      expect(disturbed.repeated).toBe(0);
      await waitForCables(hosts, shape, 20_000);
      expect(await ledger.groupFrames(10)).toEqual([]);
      expect(await ledger.unicastFrames(5)).toEqual([]);
    });
  });
}
