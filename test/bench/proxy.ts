// SPDX-License-Identifier: Apache-2.0
// What the Docker API proxy costs: `docker run -d` and `docker rm -f` without it, through it and left alone, through it and attached. In turn, so
// that all of them meet the same machine.
import { IMAGE } from "../lab/attach/dockerd.ts";
import { ProxyWorld } from "../lab/proxy/world.ts";
import { must } from "../support/command.ts";
import { median, table } from "./figures.ts";

export async function benchProxy(times: number): Promise<boolean> {
  await using world = await ProxyWorld.start();
  const kinds = {
    "without the proxy": { command: world.engine.command, flags: [] },
    "through it, WEAVE_CIDR=none": { command: world.command, flags: ["-e", "WEAVE_CIDR=none"] },
    "through it, attached": { command: world.command, flags: [] },
  };
  const tookMs = new Map<string, number[]>();
  for (let round = -2; round < times; round++) {
    for (const [kind, { command, flags }] of Object.entries(kinds)) {
      const began = performance.now();
      const id = (await must([...command, "run", "-d", ...flags, IMAGE, "sleep", "600"])).trim();
      await must([...command, "rm", "-f", id]);
      if (round >= 0) tookMs.set(kind, [...(tookMs.get(kind) ?? []), performance.now() - began]); // the first rounds warm up
    }
  }
  const medians = Object.keys(kinds).map((kind) => median(tookMs.get(kind) ?? []));
  const [base = 0] = medians;
  const rows = Object.keys(kinds).map((kind, index) => {
    const ms = medians[index] ?? 0;
    return [kind, ms.toFixed(0), `${(100 * (ms / base - 1)).toFixed(1)} %`];
  });
  console.log(table(["docker run -d and rm -f", "ms", "more"], rows));
  return (medians[1] ?? 0) < 1.1 * base;
}
