// SPDX-License-Identifier: Apache-2.0
// Frames find another way when one is closed, and come back when it is open again; flows live through both. What closes a way is the packet
// filter of the host it leads to, so that nobody is told.
//
//   h1 [c1] ──seg0── h2 [c2] ──seg1── h3 [c3]     h1 and h3 cannot reach each other
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Ledger } from "../support/delivery.ts";
import type { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { wire } from "../support/shapes.ts";
import { StreamRun } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";
import { attachEverywhere, launch, metric, statusOf, waitForMesh } from "../support/weave.ts";

let lab: Lab;
let hosts: [Host, Host, Host];
let containers: [Container, Container, Container];

beforeEach(async () => {
  const wired = await wire("chain", 3);
  lab = wired.lab;
  hosts = wired.hosts as [Host, Host, Host];
});
afterEach(async () => await lab?.close());

async function start(...flags: readonly string[]): Promise<void> {
  const [h1, h2, h3] = hosts;
  await launch(h1, ...flags);
  await launch(h2, ...flags, lab.segment(0).address(h1));
  await launch(h3, ...flags, lab.segment(1).address(h2));
  containers = (await attachEverywhere(hosts)) as [Container, Container, Container];
  await waitForMesh(hosts);
  expect(await containers[0].reaches("10.2.1.3")).toBe(true);
}

/** Drops what `rule` matches among the packets that come to these hosts; called again, the last rule goes. */
async function filter(at: readonly Host[], rule?: string): Promise<void> {
  const table =
    rule === undefined ? "" : `table inet closed { chain input { type filter hook prerouting priority -500; ${rule} drop; }; }`;
  const script = `table inet closed { }; delete table inet closed; ${table}`;
  await Promise.all(at.map((host) => host.must(["nft", "-f", "-"], { stdin: script })));
}

/** h2 takes the same from h3. */
function betweenH1AndH2(rule: string): string {
  const [h1, h2] = hosts;
  return `ip saddr { ${lab.segment(0).address(h1)}, ${lab.segment(0).address(h2)} } ${rule}`;
}

/** Packets cross the underlay as they would a real one, each by itself. */
async function withoutSuperPackets(at: readonly Host[]): Promise<void> {
  const off = ["gso", "tso", "tx-udp-segmentation", "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"];
  await Promise.all(at.map((host) => host.must(["ethtool", "-K", "e1", ...off.flatMap((feature) => [feature, "off"])])));
}

/** Transport between two hosts as the first sees it. */
async function transport(from: Host, to: Host): Promise<string> {
  const connection = (await statusOf(from)).router.connections.find(({ peer }) => peer?.nickname === to.name);
  return `${connection?.overlay} ${connection?.state}`;
}
async function waitForTransport(wanted: string, deadlineMs: number): Promise<number> {
  const [h1, h2] = hosts;
  const { tookMs } = await waitFor(
    `${wanted} between h1 and h2`,
    async () => (await transport(h1, h2)) === `${wanted} established` && (await transport(h2, h1)) === `${wanted} established`,
    { deadlineMs, everyMs: 20 },
  );
  return tookMs;
}

describe("the port of the fast datapath closed", () => {
  test("later: in under 3 s everything goes by the sleeve, opened again it comes back; a TCP flow lives through both", async () => {
    await start();
    await waitForTransport("fastdp", 5_000);
    const stream = await StreamRun.start(containers[0], containers[1], "10.2.1.2");
    await filter(hosts.slice(0, 2), betweenH1AndH2("udp dport 6784"));
    expect(await waitForTransport("sleeve", 6_000)).toBeLessThan(3_000);
    await stream.more(500_000);
    expect(await hosts[0].mustWeave("status", "connections")).toMatch(
      /sleeve .*reason="fastdp: (no answer|the peer gets no answer there)"/,
    );
    using ledger = await Ledger.over(containers);
    expect(await ledger.groupFrames(20)).toEqual([]); // h1 by the sleeve to h2, h2 by VXLAN to h3
    expect(await ledger.unicastFrames(10)).toEqual([]);
    await filter(hosts.slice(0, 2));
    await waitForTransport("fastdp", 60_000);
    await stream.more(500_000);
    expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
    expect(await metric(hosts[0], /^weave_path_switches_total/)).toBeGreaterThanOrEqual(2);
  });

  test("from the beginning: the sleeve, at once", async () => {
    await filter(hosts.slice(0, 2), "udp dport 6784");
    await start();
    await waitForTransport("sleeve", 5_000);
  });
});

describe("a path that drops large packets without a word", () => {
  for (const largest of [1_124, 1_280, 1_400, 1_460]) {
    test(`over ${largest} bytes carries 1 MB all the same, in both directions`, async () => {
      await withoutSuperPackets(hosts.slice(0, 2));
      await filter(hosts.slice(0, 2), `udp dport { 6783, 6784 } meta length > ${largest}`);
      await start();
      for (const [from, to, address] of [
        [containers[0], containers[1], "10.2.1.2"],
        [containers[1], containers[0], "10.2.1.1"],
      ] as const) {
        const stream = await StreamRun.start(from, to, address);
        await stream.more(1_000_000);
        expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
      }
      // The neighbour may have noticed first; then this host's own full-size probes are still under way.
      const finding = /^warning +mtu +packets of 1430 bytes do not get through to h2 by fastdp/m;
      const examine = async (): Promise<string> => (await hosts[0].weave("doctor")).stdout;
      await waitFor("doctor to find it", async () => finding.test(await examine()), { deadlineMs: 5_000, show: examine });
      // Not only what can be cut: datagrams that may not be fragmented on the way, and those that are.
      for (const size of ["1300", "20000"]) {
        expect(await containers[0].must(["ping", "-c2", "-i0.1", "-W2", "-s", size, "10.2.1.2"])).toContain(" 0% packet loss");
      }
    });
  }
});

describe("only the sleeve", () => {
  test("encrypted and relayed: every group frame exactly once, restart of a daemon breaks no flow", async () => {
    await start("--no-fastdp", "--password", "horse");
    await waitForTransport("sleeve", 5_000);
    using ledger = await Ledger.over(containers);
    expect(await ledger.groupFrames(20)).toEqual([]);
    expect(await ledger.unicastFrames(10)).toEqual([]);
    const stream = await StreamRun.start(containers[0], containers[2], "10.2.1.3");
    await hosts[1].mustWeave("stop");
    await launch(hosts[1], "--no-fastdp", "--password", "horse", "--resume");
    await stream.more(500_000);
    expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
  });
});
