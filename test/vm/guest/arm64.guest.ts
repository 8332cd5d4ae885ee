// SPDX-License-Identifier: Apache-2.0
// The executable for arm64 on a kernel of its own. What might differ there: layouts, numbers of system calls, how C is called, the kernel's compiler
// for BPF.
//
//   h1 [c1 10.2.1.1] ── h2 [c2 10.2.1.2]
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Ledger } from "../../support/delivery.ts";
import type { Lab } from "../../support/lab.ts";
import type { Container, Host } from "../../support/lab-host.ts";
import { wire } from "../../support/shapes.ts";
import { StreamRun } from "../../support/traffic.ts";
import { waitFor } from "../../support/wait.ts";
import { attachEverywhere, describeHost, launch, statusOf } from "../../support/weave.ts";

const FLAGS = ["--password", "horse"];
let lab: Lab;
let hosts: readonly [Host, Host];
let containers: readonly [Container, Container];

beforeAll(async () => {
  const wired = await wire("full", 2);
  lab = wired.lab;
  hosts = wired.hosts as unknown as [Host, Host];
  const [h1, h2] = hosts;
  await Promise.all([launch(h1, ...FLAGS), launch(h2, ...FLAGS, h1.address)]);
  containers = (await attachEverywhere(hosts)) as unknown as [Container, Container];
});
afterAll(async () => await lab?.close());

/** Waits until both ends use this transport, encrypted, and the containers reach each other. */
async function waitForTransport(wanted: string): Promise<void> {
  const ends = async (): Promise<string[]> => {
    const all = await Promise.all(hosts.map(async (host) => (await statusOf(host)).router.connections));
    return all.flat().map(({ state, overlay, encrypted }) => `${state} ${overlay} ${encrypted}`);
  };
  const expected = Array.from(hosts, () => `established ${wanted} true`).join();
  await waitFor(`${wanted} at both ends`, async () => (await ends()).join() === expected, {
    deadlineMs: 15_000,
    show: async () => (await Promise.all(hosts.map(describeHost))).join("; "),
  });
  expect(await containers[0].reaches("10.2.1.2")).toBe(true);
}

test("it is this machine's executable, and finds all it needs", async () => {
  const [h1] = hosts;
  expect(await h1.mustWeave("version", "--verbose")).toMatch(
    / arm64\nswitch weave .*object 'full'.*\nwireguard yes\nlibbpf libbpf\.so\.1\n/,
  );
  expect((await h1.weave("doctor")).stdout).not.toMatch(/^error/m);
});

test("inside WireGuard: groups once everywhere, known unicast to the addressee only, a stream undamaged", async () => {
  await waitForTransport("fastdp");
  using ledger = await Ledger.over(containers);
  expect(await ledger.groupFrames(5)).toEqual([]);
  expect(await ledger.unicastFrames(5)).toEqual([]);
  const stream = await StreamRun.start(...containers, "10.2.1.2");
  await stream.more(1 << 20);
  expect(stream.stop()).toMatchObject({ damagedAt: undefined, broken: false });
});

test("the sleeve", async () => {
  const rule = "table inet closed { chain input { type filter hook prerouting priority -500; udp dport 6785 drop; }; }";
  for (const host of hosts) await host.must(["nft", "-f", "-"], { stdin: rule });
  await waitForTransport("sleeve");
  const stream = await StreamRun.start(...containers, "10.2.1.2");
  await stream.more(1 << 20);
  expect(stream.stop()).toMatchObject({ damagedAt: undefined, broken: false });
});

test("an address and a name, and the program that waits for both", async () => {
  const [h1, h2] = hosts;
  const web = await h1.container("web");
  const script = 'mkdir -p /w; mount --bind /var/lib/weave/w /w; exec /w/w echo "the network is there"';
  const waiting = h1.run(["unshare", "-m", "nsenter", `--net=${web.path}`, "sh", "-c", script]);
  const address = (await h1.mustWeave("attach", web.path)).trim();
  expect(await waiting).toMatchObject({ code: 0, stdout: "the network is there\n" });
  await waitFor("the name", async () => (await h2.weave("dns-lookup", "web")).stdout === `${address}\n`, { everyMs: 100 });
});

test("reset leaves nothing", async () => {
  await Promise.all(hosts.map((host) => host.mustWeave("reset")));
  for (const host of hosts) expect(await host.must(["ip", "-br", "link"])).not.toMatch(/weave|vxlan|vethwe/);
});
