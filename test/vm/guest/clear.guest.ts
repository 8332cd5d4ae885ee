// SPDX-License-Identifier: Apache-2.0
// The executable on an old kernel, without a password: two hosts, everything in clear through the kernel.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Finished, run } from "../../support/command.ts";
import { Ledger } from "../../support/delivery.ts";
import { type Mesh, mesh } from "../../support/shapes.ts";
import { PingRun, StreamRun } from "../../support/traffic.ts";
import { launch, statusOf } from "../../support/weave.ts";

const WITHOUT_NFTABLES = `import { NftFirewall } from "${import.meta.dir}/../../../src/host/nft.ts";
  console.log(JSON.stringify([await new NftFirewall().droppingChains()]));
  await new NftFirewall().apply({ chains: [{ rules: [] }] }).catch((thrown) => console.log(thrown.message));`;
let world: Mesh;
let withoutNftables: Finished;
beforeAll(async () => {
  // Before anything has loaded the modules.
  const script = 'echo >/proc/sys/kernel/modprobe; lsmod | grep nfnetlink; "$@"; echo /sbin/modprobe >/proc/sys/kernel/modprobe';
  withoutNftables = await run(["sh", "-c", script, "sh", process.execPath, "-e", WITHOUT_NFTABLES]);
  world = await mesh("full", 2);
});
afterAll(async () => await world?.lab.close());

test("without nf_tables the process goes on: libnftables would end it", () => {
  expect(withoutNftables).toEqual({ code: 0, stdout: "[[]]\ncannot masquerade: this kernel has no nf_tables\n", stderr: "" });
});

test("the path is the kernel's", async () => {
  for (const host of world.hosts) {
    const { connections } = (await statusOf(host)).router;
    expect(connections.map(({ overlay, state }) => `${overlay} ${state}`)).toEqual(["fastdp established"]);
  }
});

test("groups once everywhere, known unicast to the addressee only, a stream undamaged", async () => {
  const [c1, c2] = world.containers;
  using ledger = await Ledger.over(world.containers);
  expect(await ledger.groupFrames(10)).toEqual([]);
  expect(await ledger.unicastFrames(10)).toEqual([]);
  if (c1 === undefined || c2 === undefined) throw new Error("no containers");
  const stream = await StreamRun.start(c1, c2, "10.2.1.2");
  await stream.more(1 << 20);
  expect(stream.stop()).toMatchObject({ damagedAt: undefined, broken: false });
});

test("a killed daemon costs no frame", async () => {
  const [c1] = world.containers;
  const [, h2] = world.hosts;
  if (c1 === undefined || h2 === undefined) throw new Error("no host");
  const ping = await PingRun.start(c1, "10.2.1.2", 0.02);
  await h2.killDaemon();
  await launch(h2, "--resume");
  await ping.more(30);
  const { lost, duplicates } = await ping.stop();
  expect([lost.length, duplicates]).toEqual([0, 0]);
});
