// SPDX-License-Identifier: Apache-2.0
// One test for each reason for which a frame from the underlay, or towards it, is dropped. The frames are written by hand and come from
// a neighbour's address; host b stands between a and c.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DROP_REASONS, LAYOUT_VERSION, PROBE_MAGIC, SETTINGS } from "../../../native/bpf/maps.ts";
import { BpfMap } from "../../../native/libbpf/map.ts";
import { Links } from "../../../src/host/links.ts";
import { ensureSleeveLink } from "../../../src/host/sleeve-link.ts";
import type { Ip } from "../../../src/net/ip.ts";
import { pick, seededRandom } from "../../../src/runtime/random.ts";
import { encodeProbe, FrameSocket } from "../../support/frames.ts";
import { waitFor } from "../../support/wait.ts";
import { bytes, ETHERTYPE, ethernet, u16, u32, vxlan } from "./packets.ts";
import { ping } from "./ping.ts";
import { planOf } from "./plans.ts";
import { count, expectCount, Wire } from "./wire.ts";
import { macOf, type Node, netnsPath, sh, World } from "./world.ts";

const FLOOD = 0xfff;
const STRANGER = "02:00:00:00:99:01";
const BROADCAST = "ff:ff:ff:ff:ff:ff";

let world: World;
let a: Node;
let b: Node;
let c: Node;
let wire: Wire; // from a to b
beforeAll(() => {
  world = new World({
    cables: [
      ["a", "b"],
      ["b", "c"],
    ],
  });
  [a, b, c] = [world.node("a"), world.node("b"), world.node("c")];
  wire = new Wire(a, addressOf(b, a));
});
afterAll(() => {
  wire[Symbol.dispose]();
  world[Symbol.dispose]();
});

/** The underlay address of `node` on its cable with `other`. */
function addressOf(node: Node, other: Node): string {
  return world.cable(node.name, other.name).addresses.get(node) ?? "";
}
function frame(destination = BROADCAST, source = STRANGER): Uint8Array {
  return encodeProbe({ destination, source, sender: 99, sequence: 1 });
}

describe("a frame from the underlay is dropped", () => {
  test("from an address that is no neighbour's: unknown-neighbour", async () => {
    sh(["ip", "-n", a.netns, "addr", "add", "10.99.1.77/24", "dev", "u1"]);
    using stranger = new Wire(a, addressOf(b, a), { source: "10.99.1.77" });
    await expectCount(b, "unknown-neighbour", () => stranger.send(vxlan(a.id, b.id, frame())));
  });

  test("with a source peer nobody has a route to: unknown-peer", async () => {
    await expectCount(b, "unknown-peer", () => wire.send(vxlan(77, b.id, frame())));
    await expectCount(b, "unknown-peer", () => wire.send(vxlan(0, FLOOD, frame())));
  });

  test("with ourselves as source: own-source", async () => {
    await expectCount(b, "own-source", () => wire.send(vxlan(b.id, FLOOD, frame())));
  });

  test("for a peer without route: no-route", async () => {
    await expectCount(b, "no-route", () => wire.send(vxlan(a.id, 88, frame())));
  });

  test("with a group address as source MAC: malformed", async () => {
    await expectCount(b, "malformed", () => wire.send(vxlan(a.id, b.id, frame(BROADCAST, "03:00:00:00:00:01"))));
  });

  test("to relay, with a time to live of 1: ttl", async () => {
    using dying = new Wire(a, addressOf(b, a), { ttl: 1 });
    await expectCount(b, "ttl", () => dying.send(vxlan(a.id, c.id, frame(world.guest("c").mac))));
  });

  test("along a tree, with a time to live of 1: it is delivered here, the copies are not sent", async () => {
    using dying = new Wire(a, addressOf(b, a), { ttl: 1 });
    using listener = new FrameSocket(netnsPath(world.guest("b").netns), "ethwe");
    await expectCount(b, "ttl", () => dying.send(vxlan(a.id, FLOOD, frame())));
    await waitFor("the frame at the container", () => listener.drain().length > 0, { deadlineMs: 1000 });
  });

  test("along a tree whose parent is another neighbour: reverse-path", async () => {
    await expectCount(b, "reverse-path", () => wire.send(vxlan(c.id, FLOOD, frame())));
  });

  test("along a tree whose parent has just become another: tree-change, and taken a moment later", async () => {
    const plan = planOf(world, b);
    const without = new Map([...plan.floods].filter(([source]) => source !== c.id));
    const through = (parent: Node) => ({ ...plan, floods: new Map(without).set(c.id, { parent: parent.id, hops: [] }) });
    const sendFromC = () => wire.send(vxlan(c.id, FLOOD, frame()));
    using listener = new FrameSocket(netnsPath(world.guest("b").netns), "ethwe");
    const taken = () => {
      sendFromC();
      return listener.drain().length > 0;
    };
    b.apply(through(a));
    await expectCount(b, "tree-change", sendFromC);
    await waitFor("the tree to be used", taken, { deadlineMs: 1_000 });
    // A tree that was away for a while is used at once when it comes from where it came from, and only then.
    b.apply({ ...plan, floods: without });
    b.apply(through(a));
    const refused = count(b, "tree-change");
    await waitFor("the same tree", taken, { deadlineMs: 1_000 });
    expect(count(b, "tree-change")).toBe(refused);
    b.apply(through(c));
    b.apply({ ...plan, floods: without });
    b.apply(through(a));
    await expectCount(b, "tree-change", sendFromC);
    b.apply(plan);
  });

  test("for a peer the way to which leads back to the sender: return-path", async () => {
    await expectCount(b, "return-path", () => wire.send(vxlan(c.id, a.id, frame(world.guest("a").mac))));
  });

  test("as a probe that is not a direct neighbour's: probe-forged", async () => {
    const probe = ethernet("02:77:76:70:00:01", STRANGER, ETHERTYPE.experiment, bytes(u32(0), u32(1)));
    await expectCount(b, "probe-forged", () => wire.send(vxlan(c.id, b.id, probe)));
    await expectCount(b, "probe-forged", () => wire.send(vxlan(a.id, c.id, probe)));
  });

  test("as a probe of an unknown kind, or cut short: malformed", async () => {
    const odd = ethernet("02:77:76:70:00:09", STRANGER, ETHERTYPE.experiment, bytes(u32(0), u32(1)));
    await expectCount(b, "malformed", () => wire.send(vxlan(a.id, b.id, odd)));
    await expectCount(b, "malformed", () => wire.send(vxlan(a.id, b.id, odd.slice(0, 18))));
  });

  test("as more probes than the budget of a neighbour: probe-rate", async () => {
    const probe = vxlan(a.id, b.id, ethernet("02:77:76:70:00:01", STRANGER, ETHERTYPE.experiment, bytes(u32(0), u32(1))));
    const reflected = count(b, "probe-reflected");
    await expectCount(b, "probe-rate", () => {
      for (let i = 0; i < 5_000; i++) wire.send(probe);
    });
    expect(count(b, "probe-reflected")).toBeGreaterThan(reflected);
  });

  test("without a tunnel key, as it never comes from a VXLAN device: no-tunnel-key", async () => {
    // The program is put, by hand, where frames have no key.
    sh(["ip", "-n", b.netns, "link", "add", "plain", "type", "veth", "peer", "name", "plain-end"]);
    for (const name of ["plain", "plain-end"]) sh(["ip", "-n", b.netns, "link", "set", name, "up"]);
    const id = programId(b, "vx_ingress");
    const pin = join(world.bpffs, "vx_ingress-by-hand");
    sh(["bpftool", "prog", "pin", "id", id, pin]);
    sh(["tc", "-n", b.netns, "qdisc", "add", "dev", "plain", "clsact"]);
    sh(["tc", "-n", b.netns, "filter", "add", "dev", "plain", "ingress", "bpf", "da", "object-pinned", pin]);
    using sender = new FrameSocket(netnsPath(b.netns), "plain-end");
    await expectCount(b, "no-tunnel-key", () => sender.send(frame()));
  });

  test("before the daemon has said who we are: not-configured", async () => {
    using bare = new BareHost();
    await bare.expectNotConfigured();
  });
});

describe("a frame of the bridge is not sent", () => {
  test("when it is for a MAC that is here: local-destination, and it arrives", async () => {
    const guest = world.guest("b");
    sh(["ip", "netns", "exec", guest.netns, "ping", "-c", "1", "-W", "1", world.guest("a").address]);
    using host = new FrameSocket(netnsPath(b.netns), "weave");
    using listener = new FrameSocket(netnsPath(guest.netns), "ethwe");
    const before = count(b, "local-destination");
    await waitFor("the drop", () => {
      // Whatever the guest says by itself teaches the bridge again.
      Bun.spawnSync(["bridge", "-n", b.netns, "fdb", "del", guest.mac, "dev", guest.port, "master"]);
      host.send(frame(guest.mac, "02:aa:00:00:00:02"));
      return count(b, "local-destination") > before;
    });
    await waitFor("the frame at the container", () => listener.drain().length > 0, { deadlineMs: 1000 });
  });

  test("when it is for a MAC behind a peer without route: no-route", async () => {
    wire.send(vxlan(a.id, b.id, frame(world.guest("b").mac, "02:00:00:00:98:01")));
    await waitFor("the MAC in the table", () => b.datapath.macs().some(({ mac }) => mac === 0x020000009801));
    const plan = b.inside(() => b.datapath.read());
    if (plan === undefined) throw new Error("no plan");
    b.apply({ ...plan, nextHops: new Map([...plan.nextHops].filter(([id]) => id !== a.id)) });
    using host = new FrameSocket(netnsPath(b.netns), "weave");
    await expectCount(b, "no-route", () => host.send(frame("02:00:00:00:98:01", "02:aa:00:00:00:02")));
    world.applyPlans();
  });

  test("when a group of one link is its destination: link-local-group", async () => {
    using host = new FrameSocket(netnsPath(b.netns), "weave");
    await expectCount(b, "link-local-group", () => host.send(frame("01:80:c2:00:00:0e", "02:aa:00:00:00:02")));
  });

  test("when it looks like a probe: probe-forged", async () => {
    using host = new FrameSocket(netnsPath(b.netns), "weave");
    const probe = ethernet("02:77:76:70:00:02", "02:aa:00:00:00:02", ETHERTYPE.experiment, bytes(u16(1, 2)));
    expect(new DataView(probe.buffer).getUint32(0)).toBe(PROBE_MAGIC);
    await expectCount(b, "probe-forged", () => host.send(probe));
  });

  test("when the VXLAN device is not there: send-failed", async () => {
    using settings = BpfMap.openPinned("settings", join(b.pinDir, `v${LAYOUT_VERSION}`, "settings"));
    const key = new Uint8Array(4);
    const right = settings.get(key);
    if (right === undefined) throw new Error("no settings");
    const wrong = right.slice();
    new DataView(wrong.buffer).setUint32(SETTINGS.vxlanIfindex, 4_000, true);
    settings.set(key, wrong);
    using host = new FrameSocket(netnsPath(b.netns), "weave");
    await expectCount(b, "send-failed", () => host.send(frame(BROADCAST, "02:aa:00:00:00:02")));
    settings.set(key, right);
  });
});

describe("a frame of another transport is dropped", () => {
  test("from an address inside WireGuard that did not come through it: not-encrypted", async () => {
    const plan = b.inside(() => b.datapath.read());
    const inside = addressOf(a, b) as Ip;
    const entry = { ...plan!.neighbours.get(a.id)!, accept: [{ kind: "wireguard", address: inside } as const] }; // b has routes over a
    b.apply({ ...plan!, neighbours: new Map([...plan!.neighbours, [a.id, entry]]) });
    await expectCount(b, "not-encrypted", () => wire.send(vxlan(a.id, b.id, frame())));
    // What a program at WireGuard's device marks is taken; here the cable plays that device.
    b.inside(() => b.datapath.setWireguard(b.ifindex(world.cable("a", "b").devices.get(b)!)));
    await expectCount(b, "unknown-peer", () => wire.send(vxlan(77, b.id, frame())));
    b.inside(() => b.datapath.setWireguard(undefined));
    world.applyPlans();
  });

  test("on the sleeve link, when neither the switch nor the sleeve sent it: sleeve-stranger", async () => {
    const links = b.inside(() => Links.open());
    const { ifindex } = b.inside(() => ensureSleeveLink(links, macOf("02:aa:00:00:00:02")));
    b.open({}, { sleeveIfindex: ifindex });
    using ours = new FrameSocket(netnsPath(b.netns), "vethwe-sleeve");
    using theirs = new FrameSocket(netnsPath(b.netns), "vethwe-pcap");
    // What is dropped on the way out is told to the sender.
    await expectCount(b, "sleeve-stranger", () => expect(() => ours.send(frame())).toThrow());
    await expectCount(b, "sleeve-stranger", () => theirs.send(frame()));
    b.open();
    links[Symbol.dispose]();
  });
});

test("random bytes on the data port change nothing: tables stay as they are, frames go on", async () => {
  const random = seededRandom(4711);
  const before = b.datapath.macs().length;
  const bytesOf = (length: number) => Uint8Array.from({ length }, () => random.below(256));
  for (let i = 0; i < 20_000; i++) {
    const noise = bytesOf(random.below(100));
    const vni = pick(random, [a.id, b.id, c.id, 0, 77, FLOOD]) | (pick(random, [a.id, b.id, c.id, 0, 88, FLOOD]) << 12);
    // Half of them with a right VXLAN header, and none with a right frame from a peer that may send it.
    if (i % 2 === 0) wire.send(noise);
    else wire.send(bytes([0x08, 0, 0, 0], u32((vni << 8) >>> 0), noise.fill(0xff, 6, 7)));
  }
  await waitFor("a ping", () => ping(world.guest("a"), world.guest("c").address).received === 3);
  expect(b.datapath.macs().length).toBeLessThanOrEqual(before + 2);
});

test("every drop reason has a test here or in guard.test.ts", () => {
  const text = ["drops.test.ts", "guard.test.ts"].map((name) => readFileSync(join(import.meta.dir, name), "utf8")).join("");
  expect(DROP_REASONS.filter((reason) => !text.includes(`"${reason}"`))).toEqual([]);
});

function programId(node: Node, name: string): string {
  const links = sh([
    "bpftool",
    "-j",
    "link",
    "show",
    "pinned",
    join(node.pinDir, "links", `${name}-${node.ifindex("vxlan-6784")}`),
  ]);
  return String((JSON.parse(links) as { prog_id: number }).prog_id);
}

/** A host whose switch has been loaded and told nothing. */
class BareHost implements Disposable {
  readonly #world = new World({ cables: [["x", "y"]], bare: true, guestsPerHost: 0 });

  async expectNotConfigured(): Promise<void> {
    const x = this.#world.node("x");
    x.open();
    using wire = new Wire(this.#world.node("y"), this.#world.cable("x", "y").addresses.get(x) ?? "");
    await expectCount(x, "not-configured", () => wire.send(vxlan(2, 1, frame())));
    using host = new FrameSocket(netnsPath(x.netns), "weave");
    await expectCount(x, "not-configured", () => host.send(frame()));
  }
  [Symbol.dispose](): void {
    this.#world[Symbol.dispose]();
  }
}
