// SPDX-License-Identifier: Apache-2.0
// A host whose firewall drops what it forwards, as Docker's does, and to which the kernel shows bridged packets too (br_netfilter): what it
// breaks is told with the rule that mends it.
//
//   h1 [c1, c2]
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { attach, launch, statusOf } from "../support/weave.ts";

const CHAIN = "type filter hook forward priority 0; policy drop;";

/** Without br_netfilter nobody asks the firewall about bridged packets. */
const IS_SHOWN = existsSync("/proc/sys/net/bridge/bridge-nf-call-iptables");

let lab: Lab;
let h1: Host;
let c1: Container;
beforeAll(async () => {
  if (!IS_SHOWN) return;
  lab = await Lab.open();
  [h1] = (await lab.addHosts("h1")) as [Host];
  await h1.must(["sysctl", "-q", "-w", "net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=1"]);
  for (const family of ["ip", "ip6"]) {
    await h1.must(["nft", "-f", "-"], { stdin: `table ${family} filter {\n chain FORWARD {\n ${CHAIN}\n }\n}\n` });
  }
  await launch(h1);
  c1 = await attach(h1, "c1", "10.2.1.1/24", "fd42::1/64");
  await attach(h1, "c2", "10.2.1.2/24", "fd42::2/64");
});
afterAll(async () => await lab?.close());

const filterWarnings = async (): Promise<string[]> =>
  (await statusOf(h1)).warnings.filter((warning) => warning.startsWith("the host's firewall drops"));

describe.skipIf(!IS_SHOWN)("a firewall that drops what it forwards", () => {
  test("what goes straight from container to container passes, what needs the bridge does not, and status says so", async () => {
    expect(await c1.reaches("10.2.1.2")).toBe(true);
    expect(await c1.reaches("fd42::2", 1_000)).toBe(false);
    const [first = "", second = "", ...more] = await filterWarnings();
    expect(first).toContain("drops IPv4 broadcast and multicast between containers");
    expect(second).toContain("drops IPv6 between containers");
    expect(second).toEndWith("ip6tables -I FORWARD -i weave -o weave -j ACCEPT");
    expect(more).toEqual([]);
    const text = await h1.mustWeave("status");
    expect((await h1.weave("doctor")).stdout).toMatch(
      /^warning +firewall +'ip filter FORWARD' drops .*\n +-> nft insert rule ip filter FORWARD /m,
    );
    expect(text).toMatch(/^\n +Warning: the host's firewall drops .*\n +Warning: the host's firewall drops /);
  });

  test("with the rule it names everything passes, and the daemon has nothing to warn of", async () => {
    for (const family of ["ip", "ip6"]) {
      await h1.must(["nft", `insert rule ${family} filter FORWARD iifname "weave" oifname "weave" accept`]);
    }
    await c1.must(["ip", "-6", "neighbour", "flush", "all"]);
    expect(await c1.reaches("fd42::2")).toBe(true);
    await h1.mustWeave("stop");
    await launch(h1);
    await waitFor("no warnings", async () => (await filterWarnings()).length === 0);
  });
});
