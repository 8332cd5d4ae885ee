// SPDX-License-Identifier: Apache-2.0
// The lab itself: hosts are machines of their own, cables can be cut, counting tools count right, and nothing stays.
//
//   h1 ──seg0── h2 ──seg1── h3
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { run } from "../../support/command.ts";
import { Ledger } from "../../support/delivery.ts";
import { Lab } from "../../support/lab.ts";
import type { Container, Host } from "../../support/lab-host.ts";
import { isAlive, namespaceOf } from "../../support/processes.ts";
import { PingRun, StreamRun } from "../../support/traffic.ts";
import { UdpSocket } from "../../support/udp.ts";
import { waitFor } from "../../support/wait.ts";

let lab: Lab;
let h1: Host;
let h2: Host;
let h3: Host;

beforeAll(async () => {
  const began = performance.now();
  lab = await Lab.with({
    hosts: ["h1", "h2", "h3"],
    segments: [
      ["h1", "h2"],
      ["h2", "h3"],
    ],
  });
  [h1, h2, h3] = [lab.host("h1"), lab.host("h2"), lab.host("h3")];
  expect(performance.now() - began).toBeLessThan(2_000);
});
afterAll(async () => await lab?.close());

/** Containers of one host on a plain bridge: a network that is known to be right. */
async function bridged(host: Host, names: readonly string[]): Promise<Container[]> {
  const containers = await host.containers(...names);
  const lines = ["link add plain type bridge mcast_snooping 0 forward_delay 0", "link set plain up"];
  for (const name of names) {
    lines.push(
      `link add v${name} type veth peer name ethwe`,
      `link set ethwe netns /run/netns/${name}`,
      `link set v${name} master plain up`,
    );
  }
  await host.must(["ip", "-batch", "-"], { stdin: lines.join("\n") });
  for (const [index, container] of containers.entries()) {
    await container.must(["ip", "address", "add", `10.2.1.${index + 1}/24`, "dev", "ethwe"]);
    await container.must(["ip", "link", "set", "ethwe", "up"]);
  }
  return containers;
}

describe("hosts", () => {
  test("have names, links, state and BPF pins of their own", async () => {
    expect((await h1.must(["hostname"])).trim()).toBe("h1");
    await h1.must(["sh", "-c", "mkdir -p /var/lib/weave /etc/weave /run/weave /sys/fs/bpf/weave"]);
    for (const path of ["/var/lib/weave", "/etc/weave", "/run/weave", "/sys/fs/bpf/weave"]) {
      expect((await h1.run(["test", "-d", path])).code).toBe(0);
      expect((await h2.run(["test", "-e", path])).code).toBe(1);
    }
    expect(existsSync("/run/weave")).toBe(false);
    expect((await h3.must(["ls", "/sys/class/net"])).trim().split(/\s+/)).toEqual(["e2", "lo"]);
  });

  test("reach their neighbour over both families and nobody else", async () => {
    expect(await h1.reaches(lab.segment(0).address(h2))).toBe(true);
    expect(await h1.reaches(lab.segment(0).address6(h2))).toBe(true);
    expect(await h1.reaches(lab.segment(1).address(h3), 100)).toBe(false);
  });

  test("run containers that see the host's files and no link of it", async () => {
    const web = await h1.container("web");
    expect((await web.must(["ls", "/run/netns"])).trim()).toContain("web");
    expect(JSON.parse(await web.must(["ip", "-j", "link"])).length).toBe(1);
    await web.remove();
  });
});

describe("segments", () => {
  test("are cut without the host noticing, and healed", async () => {
    const segment = lab.segment(0);
    await segment.cut(h1);
    expect(await segment.reaches(h1, h2)).toBe(false);
    expect(JSON.parse(await h1.must(["ip", "-j", "link", "show", "e1"]))[0].operstate).toBe("UP");
    await segment.heal(h1);
    expect(await h1.reaches(segment.address(h2))).toBe(true);
  });

  test("lose carrier when the plug is pulled", async () => {
    const segment = lab.segment(0);
    const state = async () => JSON.parse(await h1.must(["ip", "-j", "link", "show", "e1"]))[0].operstate as string;
    await segment.plug(h1, "out");
    await waitFor("the carrier to go", async () => (await state()) !== "UP");
    await segment.plug(h1, "in");
    await waitFor("the carrier to come", async () => (await state()) === "UP");
    expect(await h1.reaches(segment.address(h2))).toBe(true);
  });

  test("are split into islands and joined", async () => {
    const segment = lab.segment(0);
    await segment.partition([[h1], [h2]]);
    expect(await segment.reaches(h1, h2)).toBe(false);
    await segment.join();
    expect(await h1.reaches(segment.address(h2))).toBe(true);
  });
});

describe("measuring tools", () => {
  let a: Container;
  let b: Container;
  let c: Container;
  beforeAll(async () => {
    [a, b, c] = (await bridged(h3, ["a", "b", "c"])) as [Container, Container, Container];
  });

  test("the ledger finds a right network right, and sees loss and copies", async () => {
    using ledger = await Ledger.over([a, b, c]);
    expect(await ledger.groupFrames(10)).toEqual([]);
    expect(await ledger.unicastFrames(10)).toEqual([]);
    await h3.must(["ip", "link", "set", "vc", "down"]);
    const lost = await ledger.groupFrames(5, 100);
    expect(new Set(lost.map(({ at, from }) => (at === "c" ? at : from)))).toEqual(new Set(["c"]));
    expect(lost.every(({ copies, frames }) => copies === 0 && frames === 5)).toBe(true);
    await h3.must(["ip", "link", "set", "vc", "up"]);
    const [first] = ledger.stations;
    if (first === undefined) throw new Error("the ledger has stations");
    const sequence = ledger.next();
    for (let copy = 0; copy < 2; copy++) first.send("ff:ff:ff:ff:ff:ff", sequence);
    await waitFor("two copies", () => ledger.stations[1]?.copies(first.number, sequence) === 2, { deadlineMs: 1_000 });
  });

  test("the ping tells which packets were lost", async () => {
    const steady = await PingRun.start(a, "10.2.1.2");
    await steady.more(100);
    expect((await steady.stop()).lost).toEqual([]);
    const disturbed = await PingRun.start(a, "10.2.1.2");
    await h3.must(["sh", "-c", "ip link set vb down; sleep 0.1; ip link set vb up"]);
    await disturbed.more(50);
    expect((await disturbed.stop()).lost.length).toBeGreaterThan(0);
  });

  test("the stream checks every byte and counts repeated segments", async () => {
    const steady = await StreamRun.start(a, b, "10.2.1.2");
    await steady.more(1 << 20);
    expect(steady.stop()).toMatchObject({ damagedAt: undefined, retransmitted: 0, broken: false });
    const disturbed = await StreamRun.start(a, b, "10.2.1.2");
    await disturbed.more(1 << 16);
    await h3.must(["sh", "-c", "ip link set vb down; sleep 0.05; ip link set vb up"]);
    await disturbed.more(1 << 18);
    expect(disturbed.stop()).toMatchObject({ damagedAt: undefined, broken: false, retransmitted: expect.any(Number) });
  });

  test("UDP sockets of both families reach unicast, broadcast and multicast", async () => {
    using from4 = new UdpSocket(a, 7000, 4);
    using to4 = new UdpSocket(b, 7000, 4);
    to4.join("239.1.2.3");
    for (const target of ["10.2.1.2", "255.255.255.255", "239.1.2.3"]) {
      expect(from4.send(new TextEncoder().encode(target), target, 7000)).toBe(true);
      const { found } = await waitFor(`a datagram to ${target}`, () => to4.receive());
      expect(new TextDecoder().decode(found)).toBe(target);
    }
    using from6 = new UdpSocket(a, 7000, 6);
    using to6 = new UdpSocket(b, 7000, 6);
    to6.join("ff02::1:99");
    for (const target of [await b.linkLocal(), "ff02::1:99"]) {
      expect(from6.send(new TextEncoder().encode(target), target, 7000)).toBe(true);
      const { found } = await waitFor(`a datagram to ${target}`, () => to6.receive());
      expect(new TextDecoder().decode(found)).toBe(target);
    }
  });
});

test("after a test process dies, however it dies, its lab is gone", async () => {
  const script = `
    import { Lab } from ${JSON.stringify(new URL("../../support/lab.ts", import.meta.url).pathname)};
    const lab = await Lab.with({ hosts: ["x"], segments: [["x"]] });
    lab.host("x").background(["setsid", "sleep", "1000"]);
    while (lab.processes().length === 0) await Bun.sleep(5);
    console.log(lab.host("x").pid);
    if (process.argv.at(-1) === "exit") process.exit(0);
    process.kill(process.pid, process.argv.at(-1));`;
  for (const end of ["SIGKILL", "SIGINT", "exit"]) {
    const { stdout, stderr } = await run([process.execPath, "-e", script, "--", end]);
    const pid = Number(stdout.trim());
    expect(pid, stderr).toBeGreaterThan(0);
    const namespace = namespaceOf(pid, "mnt");
    await waitFor(`lab of a process ended by ${end} to go`, () => !isAlive(pid) && namespaceOf(pid, "mnt") === undefined);
    expect(namespace === undefined || !isAlive(pid)).toBe(true);
  }
});
