// SPDX-License-Identifier: Apache-2.0
// The switch without a daemon, its replacement under traffic, and what somebody else may have done to it meanwhile.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBpfObjects } from "../../../native/bpf/build.ts";
import { LAYOUT_VERSION, MAP_NAMES } from "../../../native/bpf/maps.ts";
import { type ObjectKind, readObject } from "../../../native/bpf/objects.ts";
import { createTcx } from "../../../native/libbpf/link.ts";
import { BpfMap } from "../../../native/libbpf/map.ts";
import { Datapath } from "../../../src/host/datapath.ts";
import { loadSwitch } from "../../../src/host/datapath-pins.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { waitFor } from "../../support/wait.ts";
import { ping, SteadyPing } from "./ping.ts";
import { inRounds, sendToGroups, Tally } from "./tally.ts";
import { ipBatch, type Node, sh, World } from "./world.ts";

const CHAIN = [
  ["a", "b"],
  ["b", "c"],
] as const;

function nodesOf(world: World): Node[] {
  return [...world.nodes.values()];
}

for (const attach of ["tcx", "tc"] as const) {
  describe(`with ${attach}`, () => {
    let world: World;
    beforeAll(() => {
      world = new World({ cables: CHAIN, attach });
    });
    afterAll(() => world[Symbol.dispose]());

    test("frames go on while no process has the switch open, also to groups", async () => {
      for (const node of nodesOf(world)) node.close();
      using tally = new Tally(world);
      expect(await inRounds(tally, 3, sendToGroups)).toEqual([]);
      expect(ping(world.guest("a"), world.guest("c").address).received).toBe(3);
      for (const node of nodesOf(world)) node.open();
    });

    test("what an earlier daemon left is read back", () => {
      const b = world.node("b");
      const before = { plan: b.inside(() => b.datapath.read()), ports: new Map(b.datapath.ports()) };
      b.close();
      b.open();
      expect(b.inside(() => b.datapath.read())).toEqual(before.plan);
      expect(b.datapath.ports()).toEqual(before.ports);
      expect(b.inside(() => b.datapath.ensureAttached())).toEqual([]);
      expect(before.plan && b.apply(before.plan)).toBe(0);
    });

    test("signals that arrive while the kernel checks the programs do not cost the better object", async () => {
      const b = world.node("b");
      let heard = 0;
      const count = () => heard++;
      process.on("SIGWINCH", count);
      using _ = { [Symbol.dispose]: () => process.off("SIGWINCH", count) };
      const burst = ["timeout", "0.3", "sh", "-c", `while kill -WINCH ${process.pid}; do :; done`];
      const signals = Bun.spawn(burst, { stdout: "ignore", stderr: "ignore" });
      await waitFor("the first signal", () => heard > 0);
      b.open();
      await signals.exited;
      expect(b.datapath.kind.object).toBe("full");
    });

    test("programs are replaced on all hosts under direct, relayed and flooded traffic: nothing is lost or doubled", async () => {
      const [from, direct, relayed] = [world.guest("a"), world.guest("b"), world.guest("c")];
      for (const to of [direct, relayed]) ping(from, to.address);
      const pings = [new SteadyPing(from, direct.address), new SteadyPing(from, relayed.address)];
      using tally = new Tally(world);
      for (let round = 0; round < 5; round++) {
        for (const node of nodesOf(world)) {
          sendToGroups(tally);
          node.open();
          sendToGroups(tally);
        }
        await Bun.sleep(20);
      }
      const results = await Promise.all(pings.map((steady) => steady.stop()));
      for (const { sent, received, duplicates } of results) {
        expect(sent).toBeGreaterThan(100);
        expect({ received, duplicates }).toEqual({ received: sent, duplicates: 0 });
      }
      expect(await tally.faults()).toEqual([]);
    });

    test("a switch with other maps takes over routes, ports and MACs under traffic without a loss", async () => {
      using other = new OtherLayout();
      const [from, to] = [world.guest("a"), world.guest("c")];
      ping(from, to.address);
      const b = world.node("b");
      const before = b.inside(() => b.datapath.read());
      const steady = [new SteadyPing(from, to.address), new SteadyPing(from, world.guest("b").address)];
      await Bun.sleep(50);
      for (const node of nodesOf(world)) node.open({ layout: LAYOUT_VERSION + 1, readBytes: other.read });
      await Bun.sleep(50);
      for (const node of nodesOf(world)) {
        expect(readdirSync(node.pinDir).sort()).toEqual(["links", `v${LAYOUT_VERSION + 1}`]);
        expect(node.datapath.macs().length).toBeGreaterThanOrEqual(3);
      }
      expect(b.inside(() => b.datapath.read())).toEqual(before);
      // And back, this time with the number the maps had, but another shape below it.
      for (const node of nodesOf(world)) node.open({ layout: LAYOUT_VERSION + 1 });
      await Bun.sleep(50);
      for (const node of nodesOf(world)) expect(readdirSync(node.pinDir).sort()).toEqual(["links", `v${LAYOUT_VERSION + 1}b`]);
      for (const node of nodesOf(world)) node.open();
      expect(b.inside(() => b.datapath.read())).toEqual(before);
      for (const { sent, received } of await Promise.all(steady.map((one) => one.stop()))) expect(received).toBe(sent);
    });

    test("a switch takes over routes, ports and MACs from maps of layout 1 under traffic without a loss", async () => {
      const [from, to] = [world.guest("a"), world.guest("c")];
      ping(from, to.address);
      const before = nodesOf(world).map((node) => node.inside(() => node.datapath.read()));
      const macs = nodesOf(world).map((node) => node.datapath.macs().length);
      const steady = [new SteadyPing(from, to.address), new SteadyPing(from, world.guest("b").address)];
      for (const node of nodesOf(world)) {
        node.close();
        pinAsLayout1(node);
        node.open();
        expect(readdirSync(node.pinDir).sort()).toEqual(["links", `v${LAYOUT_VERSION}`]);
      }
      expect(nodesOf(world).map((node) => node.inside(() => node.datapath.read()))).toEqual(before);
      for (const [i, node] of nodesOf(world).entries()) expect(node.datapath.macs().length).toBeGreaterThanOrEqual(macs[i] ?? 0);
      await Bun.sleep(50);
      for (const { sent, received } of await Promise.all(steady.map((one) => one.stop()))) expect(received).toBe(sent);
      for (const [i, node] of nodesOf(world).entries()) expect(node.apply(before[i]!)).toBe(0); // each was read
    });

    test("what somebody removed is put back, and named", async () => {
      const b = world.node("b");
      const vxlan = b.ifindex("vxlan-6784");
      const guest = world.guest("b");
      const devices = attach === "tc" ? ["vxlan-6784", guest.port] : [guest.port];
      for (const device of devices) sh(["tc", "-n", b.netns, "qdisc", "del", "dev", device, "clsact"]);
      if (attach === "tcx") for (const name of ["vx_ingress", "vx_egress"]) rmSync(join(b.pinDir, "links", `${name}-${vxlan}`));
      // The kernel takes a link down a moment after its last pin.
      await waitFor("the way to be broken", () => ping(world.guest("a"), guest.address, "-c", "1", "-W", "0.1").received === 0);
      expect(b.inside(() => b.datapath.ensureAttached()).sort()).toEqual([
        `veth_egress at link ${guest.ifindex}`,
        `veth_ingress at link ${guest.ifindex}`,
        `vx_egress at link ${vxlan}`,
        `vx_ingress at link ${vxlan}`,
      ]);
      expect(ping(world.guest("a"), guest.address).received).toBe(3);
      expect(b.inside(() => b.datapath.ensureAttached())).toEqual([]);
    });

    test("the mark of WireGuard's device is kept by who takes over, until told otherwise", async () => {
      const b = world.node("b");
      sh(["ip", "-n", b.netns, "tuntap", "add", "weave-wg", "mode", "tun"]); // as WireGuard's, one without Ethernet
      const ifindex = b.ifindex("weave-wg");
      b.inside(() => b.datapath.setWireguard(ifindex));
      b.open();
      expect(b.inside(() => b.datapath.ensureAttached())).toEqual([]);
      if (attach === "tc") sh(["tc", "-n", b.netns, "qdisc", "del", "dev", "weave-wg", "clsact"]);
      else rmSync(join(b.pinDir, "links", `wg_ingress-${ifindex}`));
      const { found } = await waitFor("the repair", () => b.inside(() => b.datapath.ensureAttached())[0]); // the kernel lets go late
      expect(found).toBe(`wg_ingress at link ${ifindex}`);
      b.inside(() => b.datapath.setWireguard(undefined));
      expect(b.inside(() => b.datapath.ensureAttached())).toEqual([]);
      b.open();
      expect(b.inside(() => b.datapath.ensureAttached())).toEqual([]);
      const left = attach === "tc" ? sh(["tc", "-n", b.netns, "filter", "show", "dev", "weave-wg", "ingress"]) : pinnedLinks(b);
      expect(left).not.toContain("wg_ingress");
      sh(["ip", "-n", b.netns, "link", "del", "weave-wg"]);
    });

    test("a VXLAN device that was made anew is attached to again, and its old links go", () => {
      const b = world.node("b");
      ipBatch(
        b.netns,
        "link del vxlan-6784",
        "link add vxlan-6784 mtu 1400 type vxlan external dstport 6784 nolearning udp6zerocsumrx",
        "link set vxlan-6784 master weave up",
      );
      b.open();
      expect(ping(world.guest("a"), world.guest("b").address).received).toBe(3);
      if (attach === "tcx") {
        const links = readdirSync(join(b.pinDir, "links")).filter((name) => name.startsWith("vx_"));
        expect(links.sort()).toEqual([`vx_egress-${b.ifindex("vxlan-6784")}`, `vx_ingress-${b.ifindex("vxlan-6784")}`]);
      }
    });

    if (attach === "tcx")
      test("a port keeps the TCX links that an earlier version made, until its end", async () => {
        const b = world.node("b");
        const guest = b.addGuest();
        const pins = ["veth_ingress", "veth_egress"].map((name) => `${name}-${guest.ifindex}`);
        const filters = (): string => sh(["tc", "-n", b.netns, "filter", "show", "dev", guest.port, "ingress"]);
        expect([filters(), pinnedLinks(b)]).toEqual([
          expect.stringContaining("veth_ingress"),
          expect.not.stringContaining("veth_"),
        ]);
        b.inside(() => {
          const { object } = loadSwitch({ pinDir: b.pinDir, kinds: ["full"], readBytes: readObject, log: silentLog });
          using _object = object;
          sh(["tc", "qdisc", "del", "dev", guest.port, "clsact"]);
          createTcx(join(b.pinDir, "links", pins[0] ?? ""), object.program("veth_ingress"), guest.ifindex, "ingress");
          createTcx(join(b.pinDir, "links", pins[1] ?? ""), object.program("veth_egress"), guest.ifindex, "egress");
        });
        ping(guest, world.guest("a").address);
        const steady = new SteadyPing(guest, world.guest("a").address);
        b.open();
        expect(b.inside(() => b.datapath.ensureAttached())).toEqual([]);
        const { sent, received, duplicates } = await steady.stop();
        expect({ received, duplicates }).toEqual({ received: sent, duplicates: 0 });
        expect(filters()).toBe("");
        expect(readdirSync(join(b.pinDir, "links"))).toEqual(expect.arrayContaining(pins));
        b.removeGuest();
        expect(pinnedLinks(b)).not.toContain("veth_");
      });

    test("a port whose link is gone is forgotten at the next start", () => {
      const b = world.node("b");
      const guest = b.addGuest();
      ping(guest, world.guest("a").address);
      ipBatch(b.netns, `link del ${guest.port}`);
      b.open();
      expect(b.datapath.ports().has(guest.ifindex)).toBe(false);
      expect(b.datapath.macs().some(({ ifindex }) => ifindex === guest.ifindex)).toBe(false);
    });

    test("a queueing discipline in front of the VXLAN device is removed, and named", () => {
      const b = world.node("b");
      sh([
        "tc",
        "-n",
        b.netns,
        "qdisc",
        "add",
        "dev",
        "vxlan-6784",
        "root",
        "tbf",
        "rate",
        "1mbit",
        "burst",
        "10k",
        "latency",
        "1s",
      ]);
      expect(b.inside(() => b.datapath.ensureAttached())).toEqual(["queueing discipline 'tbf' at the VXLAN device"]);
      expect(sh(["tc", "-n", b.netns, "qdisc", "show", "dev", "vxlan-6784", "root"])).toContain("noqueue");
    });

    test("removing it leaves no program, map, link, filter or pin", () => {
      const b = world.node("b");
      b.inside(() => b.datapath.remove());
      b.close();
      expect(existsSync(b.pinDir)).toBe(false);
      for (const device of ["vxlan-6784", "u1", "u2", world.guest("b").port]) {
        const filters = ["ingress", "egress"].map((way) => sh(["tc", "-n", b.netns, "filter", "show", "dev", device, way]));
        expect(filters.join("")).toBe("");
        expect(sh(["tc", "-n", b.netns, "qdisc", "show", "dev", device])).not.toContain("clsact");
      }
      // A second one finds nothing of the first.
      b.open();
      expect(b.inside(() => b.datapath.read())).toBeUndefined();
      expect(b.datapath.ports().size).toBe(0);
    });
  });
}

describe("a kernel that refuses a program", () => {
  const broken = (...kinds: ObjectKind[]) => ({
    readBytes: (kind: ObjectKind) => (kinds.includes(kind) ? new Uint8Array(200) : readObject(kind)),
  });

  test("gets the next smaller switch", () => {
    using world = new World({ cables: [["a", "b"]], tuning: broken("full") });
    expect(world.node("a").datapath.kind.object).toBe("small");
    expect(ping(world.guest("a"), world.guest("b").address).received).toBe(3);
  });
  test("and when it refuses all of them, the operator is told, and nothing is left", () => {
    using world = new World({ cables: [["a", "b"]], bare: true });
    const a = world.node("a");
    expect(() => a.open(broken("full", "small"))).toThrow("this kernel cannot run the switch");
    expect(readdirSync(a.pinDir)).toEqual(["links"]);
  });
});

test("without a BPF file system the operator is told what to do", () => {
  const pinDir = join(mkdtempSync(join(tmpdir(), "ws-nobpf-")), "weave");
  try {
    const open = () => Datapath.open({ bridgeIfindex: 1, vxlanIfindex: 1, pinDir, log: silentLog });
    expect(open).toThrow(UserError);
    expect(open).toThrow(`cannot keep the switch in '${pinDir}': there is no BPF file system`);
  } finally {
    rmSync(join(pinDir, ".."), { recursive: true });
  }
});

function pinnedLinks(node: Node): string {
  return readdirSync(join(node.pinDir, "links")).join(" ");
}

/** Sizes of the values that have grown since layout 1; what is new stands at the end and is 0 for what there was then. */
const LAYOUT_1_BYTES: Readonly<Record<string, number>> = { settings: 40, endpoints: 56, neighbours: 20, floods: 516 };

/** Puts the pinned maps away for ones of layout 1 with the same content. The programs go on with those they have. */
function pinAsLayout1(node: Node): void {
  const [now, then] = [join(node.pinDir, `v${LAYOUT_VERSION}`), join(node.pinDir, "v1")];
  mkdirSync(then);
  for (const name of MAP_NAMES) {
    const pin = join(now, name);
    const shape = JSON.parse(sh(["bpftool", "-j", "map", "show", "pinned", pin])) as Record<string, number | string>;
    const valueBytes = LAYOUT_1_BYTES[name] ?? Number(shape["bytes_value"]);
    sh([
      ...["bpftool", "map", "create", join(then, name), "type", `${shape["type"]}`, "name", name],
      ...["key", `${shape["bytes_key"]}`, "value", `${valueBytes}`, "entries", `${shape["max_entries"]}`],
      ...["flags", `${shape["flags"]}`],
    ]);
    using from = BpfMap.openPinned(name, pin);
    using to = BpfMap.openPinned(name, join(then, name));
    for (const [key, value] of from.entries()) to.set(key, value.slice(0, to.valueBytes));
  }
  rmSync(now, { recursive: true });
}

/** The same switch with another MAC table, so that its maps are other ones. */
class OtherLayout implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "ws-layout-"));

  constructor() {
    buildBpfObjects(this.#folder, ["-DMAC_ENTRIES=32768"]);
  }
  readonly read = (kind: ObjectKind): Uint8Array =>
    readFileSync(join(this.#folder, kind === "full" ? "switch.o" : "switch-small.o"));
  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}
