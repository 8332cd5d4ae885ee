// SPDX-License-Identifier: Apache-2.0
// All transports in one mesh and one flood tree: every group frame exactly once everywhere, known unicast only to its addressee, also while a
// host in the middle changes its way. Runs in the virtual machine too, where the second cable carries WireGuard.
//
//   h1 ── clear fastdp ── h2 ── encrypted: WireGuard or sleeve ── h3 ── clear sleeve ── h4 (── encrypted sleeve ── h1, in a ring)
import { afterEach, describe, expect, test } from "bun:test";
import { Ledger } from "../support/delivery.ts";
import type { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { wire } from "../support/shapes.ts";
import { waitFor } from "../support/wait.ts";
import { attachEverywhere, describeHost, launch, statusOf, waitForAnswers, waitForRoutes } from "../support/weave.ts";
import { hasWireguard } from "../support/wireguard.ts";

const FLAGS = ["--password", "horse", "--trusted-subnets", "10.200.1.0/24,10.200.3.0/24", "--no-discovery"];
let lab: Lab;
afterEach(async () => await lab?.close());

async function transportOf(host: Host, other: Host): Promise<string> {
  const { connections } = (await statusOf(host)).router;
  const one = connections.find(({ peer, state }) => peer?.nickname === other.name && state === "established");
  return `${one?.encrypted ? "encrypted" : "clear"} ${one?.overlay}`;
}

describe.each(["chain", "ring"] as const)("a %s of four hosts with clear and encrypted fastdp and sleeves", (shape) => {
  test("carries every group frame exactly once and unicast to its addressee only, whatever way the second cable takes", async () => {
    const wired = await wire(shape, 4);
    lab = wired.lab;
    const hosts = wired.hosts as [Host, Host, Host, Host];
    const [h1, h2, h3, h4] = hosts;
    for (const host of hosts) {
      await launch(host, ...FLAGS, ...(host === h4 ? ["--no-fastdp"] : []), ...(wired.targets.get(host) ?? []));
    }
    await waitForRoutes(hosts, 20_000);
    const second = (await hasWireguard(h2)) ? "encrypted fastdp" : "encrypted sleeve";
    const ways: (readonly [Host, Host, string])[] = [
      [h1, h2, "clear fastdp"],
      [h2, h3, second],
      [h3, h4, "clear sleeve"],
      ...(shape === "ring" ? [[h4, h1, "encrypted sleeve"] as const] : []),
    ];
    const settled = async (): Promise<void> => {
      for (const [a, b, way] of ways) {
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          await waitFor(`${way} from ${from.name} to ${to.name}`, async () => (await transportOf(from, to)) === way, {
            deadlineMs: 30_000,
            everyMs: 50,
            show: async () => `${await transportOf(from, to)}; ${await describeHost(from)}`,
          });
        }
      }
    };
    await settled();
    const containers = await attachEverywhere(hosts);
    await waitForAnswers(containers);
    using ledger = await Ledger.over(containers);
    expect(await ledger.groupFrames(20)).toEqual([]);
    expect(await ledger.unicastFrames(10)).toEqual([]);

    // The first and the second cable change over to the sleeve, and back.
    const closed =
      "table inet closed { chain input { type filter hook prerouting priority -500; udp dport { 6784, 6785 } drop; }; }";
    const repeated: number[] = [];
    for (const [before, after] of [
      [() => h2.must(["nft", "-f", "-"], { stdin: closed }), ["clear sleeve", "encrypted sleeve"]],
      [() => h2.must(["nft", "delete", "table", "inet", "closed"]), ["clear fastdp", second]],
    ] as const) {
      const disturbed = await ledger.during(async () => {
        await before();
        ways[0] = [h1, h2, after[0]];
        ways[1] = [h2, h3, after[1]];
        await settled();
      });
      repeated.push(disturbed.repeated);
      await waitForAnswers(containers);
      expect(await ledger.groupFrames(10)).toEqual([]);
      expect(await ledger.unicastFrames(5)).toEqual([]);
    }
    expect(repeated).toEqual([0, 0]);
  }, 180_000);
});
