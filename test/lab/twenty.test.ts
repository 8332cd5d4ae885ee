// SPDX-License-Identifier: Apache-2.0
// Twenty daemons on one segment become a full mesh within 2 s. `npm run bench -- mesh` does it ten times and measures more.
import { expect, test } from "bun:test";
import { wire } from "../support/shapes.ts";
import { connectByApi, launch, waitForFullMesh, waitForMesh } from "../support/weave.ts";

test("20 daemons, of which 19 are told of the first, are a full mesh in under 2 s", async () => {
  const { lab, hosts } = await wire("full", 20);
  await using _ = lab;
  const [first, ...others] = hosts;
  if (first === undefined) throw new Error("there are twenty hosts");
  await Promise.all(hosts.map((host) => launch(host)));
  const [tookMs] = await Promise.all([
    waitForFullMesh(hosts, 10_000),
    ...others.map((host) => connectByApi(host, first.address)),
  ]);
  expect(tookMs).toBeLessThan(2_000);
  await waitForMesh(hosts);
}, 60_000);
