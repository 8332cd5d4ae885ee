// SPDX-License-Identifier: Apache-2.0
// What somebody breaks on a host is mended because the kernel tells of it, long before the next periodic look, counted and logged.
//
//   h1 [c1], exposed ──seg0── h2, exposed
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { attach, launch, statusOf, waitForMesh } from "../support/weave.ts";

/** Well under the 30 s after which everything is looked at anyway. It takes under 1 s on a machine that is not busy. */
const SOON = { deadlineMs: 12_000, everyMs: 20 };

let lab: Lab;
let h1: Host;
beforeAll(async () => {
  lab = await Lab.with({ hosts: ["h1", "h2"], segments: [["h1", "h2"]] });
  h1 = lab.host("h1");
  const h2 = lab.host("h2");
  await launch(h1);
  await launch(h2, h1.address);
  await waitForMesh([h1, h2]);
  await h1.mustWeave("expose", "10.2.1.101/24");
  await h2.mustWeave("expose", "10.2.1.102/24");
  await attach(h1, "c1", "10.2.1.1/24");
});
afterAll(async () => await lab?.close());

/** Names of containers' ports. */
const PORTS = "ip -o link | sed -n 's/.*\\(vethwepl[0-9a-z]*\\).*/\\1/p'";

/** What of the host is ours; indices change when a link is made anew. */
async function state(): Promise<string> {
  const links = `ip -o link | grep -E 'weave|vethwe|vxlan' | sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/qlen [0-9]+//; s/link-netnsid [0-9]+//; s/state [A-Z]+//'`;
  return await h1.must([
    "sh",
    "-c",
    `${links} | sort; ip -4 -o addr show dev weave | sed 's/^[0-9]*//'; nft list ruleset; sysctl net.ipv6.conf.weave.accept_ra net.ipv4.neigh.weave; ${PORTS} | while read port; do for way in ingress egress; do tc filter show dev $port $way | grep -c veth_; done; done`,
  ]);
}

async function repairsOf(host: Host): Promise<number> {
  const { fastdp } = (await statusOf(host)).router.overlayDiagnostics;
  return (fastdp as { readonly Repairs: number }).Repairs;
}

describe("mended at once", () => {
  const BREAKS: readonly (readonly [what: string, command: string])[] = [
    ["all rules of the packet filter flushed", "nft flush ruleset"],
    ["a rule taken out of our table", "nft flush chain inet weave postrouting"],
    ["the host's address taken off the bridge", "ip addr flush dev weave"],
    ["a setting of the bridge changed, of which the kernel tells nobody", "sysctl -q -w net.ipv6.conf.weave.accept_ra=2"],
    [
      "all settings read again from a file",
      "echo net.ipv4.neigh.weave.ucast_solicit=3 >/run/all.conf; sysctl -q -p /run/all.conf",
    ],
    ["the VXLAN device deleted", "ip link del vxlan-6784"],
    ["the sleeve's link deleted", "ip link del vethwe-sleeve"],
    ["the container's link deleted", `ip link del $(${PORTS} | head -n1)`],
    ["the programs at the container's link taken away", `tc qdisc del dev $(${PORTS} | head -n1) clsact`],
    ["the bridge switched off", "ip link set weave down"],
    ["the bridge deleted", "ip link del weave"],
  ];
  for (const [what, command] of BREAKS) {
    test(what, async () => {
      const before = await state();
      const repairs = await repairsOf(h1);
      await h1.must(["sh", "-c", command]);
      // This also shows that something was broken: the repair may be faster than a look at it.
      await waitFor("the repair to be counted", async () => (await repairsOf(h1)) > repairs, SOON);
      await waitFor("everything to be as before", async () => (await state()) === before, { ...SOON, show: state });
      expect(await h1.mustWeave("status")).toMatch(
        /^ +Note: repaired \d+ s ago: .* \(\d+ repairs since the start; see the log\)$/m,
      );
      expect(await h1.reaches("10.2.1.102")).toBe(true);
      expect(await h1.reaches("10.2.1.1")).toBe(true);
    });
  }
});
