// SPDX-License-Identifier: Apache-2.0
// The switch on a kernel before TCX (6.6): which rung of its ladder it finds by itself, and that all rungs carry frames there.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ObjectKind, readObject } from "../../../native/bpf/objects.ts";
import type { DatapathOptions, DatapathTuning } from "../../../src/host/datapath.ts";
import { inRounds, sendToEach, sendToGroups, Tally } from "../../lab/switch/tally.ts";
import { World } from "../../lab/switch/world.ts";

interface Rung {
  readonly tuning: DatapathTuning;
  readonly options?: Partial<DatapathOptions>;
  readonly found: string;
}
const noFullObject = (kind: ObjectKind): Uint8Array => (kind === "full" ? new Uint8Array(200) : readObject(kind));
const RUNGS: Readonly<Record<string, Rung>> = {
  "found by itself": { tuning: {}, found: "full tc" },
  "found by itself, over the bridge": { tuning: { bypass: false }, found: "full tc" },
  "when the full object cannot be loaded": { tuning: { readBytes: noFullObject }, found: "small tc" },
  "small object over the bridge": { tuning: { bypass: false }, options: { object: "small", attach: "tc" }, found: "small tc" },
};

describe("a ring of four hosts, neighbours over both families", () => {
  let world: World;
  beforeAll(() => {
    const cables = [
      ["a", "b"],
      ["b", "c"],
      ["c", "d"],
      ["d", "a"],
    ] as const;
    world = new World({ cables, ipv6: "every-second" });
  });
  afterAll(() => world[Symbol.dispose]());

  for (const [rung, { tuning, options, found }] of Object.entries(RUNGS)) {
    test(`${rung}: groups once everywhere, known unicast to the addressee only`, async () => {
      for (const node of world.nodes.values()) node.open(tuning, options);
      const kinds = new Set([...world.nodes.values()].map(({ datapath: { kind } }) => `${kind.object} ${kind.attach}`));
      expect([...kinds]).toEqual([found]);
      using tally = new Tally(world);
      await inRounds(tally, 1, sendToGroups); // MACs are learnt
      expect(await inRounds(tally, 3, sendToGroups)).toEqual([]);
      expect(await inRounds(tally, 3, sendToEach)).toEqual([]);
    });
  }
});
