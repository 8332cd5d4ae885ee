// SPDX-License-Identifier: Apache-2.0
// Hosts that are only network namespaces with a bridge, a VXLAN device and the switch: no daemon, plans set by hand. All in this process,
// quick to make, removed when closed or when the process ends.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Datapath, type DatapathOptions, type DatapathTuning, type PortPolicy } from "../../../src/host/datapath.ts";
import { Links } from "../../../src/host/links.ts";
import { ensureSleeveLink } from "../../../src/host/sleeve-link.ts";
import type { ShortId } from "../../../src/mesh/peer-name.ts";
import { type Cidr, parseCidr } from "../../../src/net/cidr.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { type Mac, parseMac } from "../../../src/net/mac.ts";
import type { DatapathPlan } from "../../../src/overlay/plan.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { FrameSocket } from "../../support/frames.ts";
import { inNetns, linkIndex } from "../../support/libc.ts";
import { type PathOf, planOf } from "./plans.ts";

export const DATA_PORT = 6784;
const TAG = `ws${process.pid}`;
let worlds = 0; // made so far, for their names
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

/** @throws {Error} with the command's words */
export function sh(command: readonly string[], stdin?: string): string {
  const result = Bun.spawnSync([...command], {
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, PATH, LC_ALL: "C" },
  });
  if (result.exitCode !== 0) throw new Error(`${command.join(" ")}: ${result.stderr.toString() || result.stdout.toString()}`);
  return result.stdout.toString();
}
export function ipBatch(netns: string, ...lines: readonly string[]): void {
  sh(["ip", "-n", netns, "-batch", "-"], `${lines.join("\n")}\n`);
}
export function netnsPath(netns: string): string {
  return `/run/netns/${netns}`;
}

export interface Cable {
  readonly a: Node;
  readonly b: Node;
  readonly addresses: ReadonlyMap<Node, Ip>;
  readonly devices: ReadonlyMap<Node, string>;
}
export interface Guest {
  readonly host: Node;
  readonly netns: string;
  readonly port: string;
  readonly ifindex: number;
  readonly mac: string;
  readonly address: string;
  readonly policy: PortPolicy;
}
export interface WorldOptions {
  /** By names of two hosts. */
  readonly cables: readonly (readonly [string, string])[];
  readonly object?: "full" | "small";
  readonly attach?: "tcx" | "tc";
  readonly tuning?: DatapathTuning;
  /** Neighbours are reached over IPv6: always, or over every second cable. */
  readonly ipv6?: "all" | "every-second";
  readonly guestsPerHost?: number;
  /** Ports without guard. */
  readonly unguarded?: boolean;
  readonly overlayMtuBytes?: number;
  /** Every host has a sleeve link. */
  readonly sleeves?: boolean;
  /** How a host sends over a cable and what it accepts from it; default: clear. */
  readonly pathOf?: PathOf;
  /** Bare hosts: no switch is opened. */
  readonly bare?: boolean;
}

/** One host. */
export class Node {
  readonly name: string;
  readonly id: ShortId;
  readonly netns: string;
  readonly world: World;
  readonly cables: Cable[] = [];
  readonly guests: Guest[] = [];
  #datapath: Datapath | undefined;
  #guestsMade = 0;

  constructor(world: World, name: string, id: number) {
    this.world = world;
    this.name = name;
    this.id = id as ShortId;
    this.netns = `${world.tag}-${name}`;
  }
  get datapath(): Datapath {
    if (this.#datapath === undefined) throw new Error(`host ${this.name} has no switch`);
    return this.#datapath;
  }
  get pinDir(): string {
    return join(this.world.bpffs, this.name);
  }
  inside<Result>(work: () => Result): Result {
    return inNetns(netnsPath(this.netns), work);
  }
  ifindex(device: string): number {
    return this.inside(() => linkIndex(device));
  }
  /** Opens the switch, in place of the one that is open. */
  open(tuning: DatapathTuning = {}, options: Partial<DatapathOptions> = {}): Datapath {
    const { object, attach, sleeves } = this.world.options;
    const before = this.#datapath;
    this.#datapath = this.inside(() =>
      Datapath.open(
        {
          bridgeIfindex: this.ifindex("weave"),
          vxlanIfindex: this.ifindex("vxlan-6784"),
          pinDir: this.pinDir,
          log: silentLog,
          ...(object ? { object } : {}),
          ...(attach ? { attach } : {}),
          ...(sleeves ? { sleeveIfindex: this.ifindex("vethwe-sleeve") } : {}),
          ...options,
        },
        { ...this.world.options.tuning, ...tuning },
      ),
    );
    before?.[Symbol.dispose]();
    return this.#datapath;
  }
  close(): void {
    this.#datapath?.[Symbol.dispose]();
    this.#datapath = undefined;
  }
  apply(plan: DatapathPlan): number {
    return this.inside(() => this.datapath.apply(plan).changed);
  }
  watchUnderlay(): void {
    this.inside(() => this.datapath.setUnderlay(this.cables.map((cable) => this.ifindex(cable.devices.get(this) ?? ""))));
  }

  /** Removes the last guest: its link, then what the switch knows of it. */
  removeGuest(): void {
    const guest = this.guests.pop();
    if (guest === undefined) return;
    ipBatch(this.netns, `link del ${guest.port}`);
    this.inside(() => this.datapath.detachPort(guest.ifindex));
  }
  // The kernel lets a bridge's port forward some time after it is up (linkwatch, at most once a second).
  #waitForPort(ifindex: number): void {
    using links = this.inside(() => Links.open());
    const deadline = performance.now() + 5_000;
    while (links.get(ifindex)?.port?.forwarding !== true) {
      if (performance.now() > deadline) throw new Error(`port ${ifindex} of ${this.name} does not forward`);
      Bun.sleepSync(1);
    }
  }
  addGuest(
    options: { address?: string; mac?: string; unguarded?: boolean; attach?: boolean; macLimit?: number; silent?: boolean } = {},
  ): Guest {
    const number = ++this.#guestsMade;
    const netns = `${this.netns}-c${number}`;
    const port = `p${number}`;
    const mac = options.mac ?? `02:00:00:00:${this.id.toString(16).padStart(2, "0")}:${number.toString(16).padStart(2, "0")}`;
    const address = options.address ?? `10.32.${this.id}.${number}`;
    const address6 = `fd32::${this.id}:${number}`;
    const mtu = this.world.options.overlayMtuBytes ?? 1400;
    this.world.addNetns(netns);
    sh(["ip", "-n", this.netns, "link", "add", port, "mtu", `${mtu}`, "type", "veth", "peer", "name", "ethwe", "netns", netns]);
    ipBatch(netns, "link set lo up", `link set ethwe mtu ${mtu} address ${mac}`);
    inNetns(netnsPath(netns), () => {
      for (const name of ["accept_dad", "router_solicitations"]) writeFileSync(`/proc/sys/net/ipv6/conf/ethwe/${name}`, "0");
      if (options.silent) writeFileSync("/proc/sys/net/ipv6/conf/ethwe/disable_ipv6", "1"); // it speaks when it is made to
    });
    ipBatch(this.netns, `link set ${port} master weave addrgenmode none`);
    const ifindex = this.ifindex(port);
    const policy: PortPolicy = {
      mac: options.unguarded ? undefined : macOf(mac),
      addresses: [cidrOf(`${address}/16`), cidrOf(`${address6}/64`)],
      ...(options.macLimit === undefined ? {} : { macLimit: options.macLimit }),
    };
    const guest: Guest = { host: this, netns, port, ifindex, mac, address, policy };
    if (options.attach !== false && this.#datapath) this.inside(() => this.datapath.attachPort(ifindex, policy));
    ipBatch(this.netns, `link set ${port} up`);
    ipBatch(netns, "link set ethwe up", `addr add ${address}/16 dev ethwe`);
    if (!options.silent) ipBatch(netns, `addr add ${address6}/64 dev ethwe nodad`);
    this.guests.push(guest);
    this.#waitForPort(ifindex);
    return guest;
  }
}

export class World implements Disposable {
  readonly options: WorldOptions;
  readonly nodes = new Map<string, Node>();
  readonly tag = `${TAG}-${++worlds}`;
  readonly bpffs: string;
  readonly #netns: string[] = [];
  readonly #sockets: FrameSocket[] = [];

  constructor(options: WorldOptions) {
    this.options = options;
    this.bpffs = join(tmpdir(), `${this.tag}-bpf`);
    open.add(this);
    try {
      mkdirSync(this.bpffs, { recursive: true });
      sh(["mount", "-t", "bpf", "bpf", this.bpffs]);
      for (const name of new Set(options.cables.flat())) this.#addNode(name);
      for (const [i, [a, b]] of options.cables.entries()) this.#plug(this.node(a), this.node(b), i + 1);
      if (!options.bare) for (const node of this.nodes.values()) node.open();
      if (!options.bare) this.applyPlans();
      if (!options.bare) for (const node of this.nodes.values()) node.watchUnderlay();
      for (const node of this.nodes.values()) {
        for (let i = 0; i < (options.guestsPerHost ?? 1); i++) node.addGuest({ unguarded: options.unguarded ?? false });
      }
    } catch (thrown) {
      this[Symbol.dispose]();
      throw thrown;
    }
  }

  node(name: string): Node {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no host '${name}'`);
    return node;
  }
  guest(host: string, number = 1): Guest {
    const guest = this.node(host).guests[number - 1];
    if (guest === undefined) throw new Error(`no guest ${number} on ${host}`);
    return guest;
  }
  get guests(): Guest[] {
    return [...this.nodes.values()].flatMap((node) => node.guests);
  }
  cable(a: string, b: string): Cable {
    const found = this.node(a).cables.find((cable) => cable.a.name === b || cable.b.name === b);
    if (found === undefined) throw new Error(`no cable ${a}-${b}`);
    return found;
  }
  /** Everybody's routes over the cables that are not in `cut`. */
  applyPlans(cut: readonly Cable[] = []): void {
    for (const node of this.nodes.values()) node.apply(planOf(this, node, cut, this.options.pathOf));
  }
  /** A promiscuous socket, closed with the world. */
  socket(netns: string, device = "ethwe"): FrameSocket {
    const socket = new FrameSocket(netnsPath(netns), device);
    this.#sockets.push(socket);
    return socket;
  }
  addNetns(name: string): void {
    sh(["ip", "netns", "add", name]);
    this.#netns.push(name);
  }

  [Symbol.dispose](): void {
    open.delete(this);
    for (const socket of this.#sockets) socket[Symbol.dispose]();
    for (const node of this.nodes.values()) node.close();
    for (const name of this.#netns.reverse()) Bun.spawnSync(["ip", "netns", "del", name]);
    Bun.spawnSync(["umount", "-l", this.bpffs]);
    rmSync(this.bpffs, { recursive: true, force: true });
  }

  #addNode(name: string): void {
    const node = new Node(this, name, this.nodes.size + 1);
    const mtu = this.options.overlayMtuBytes ?? 1400;
    this.addNetns(node.netns);
    ipBatch(
      node.netns,
      "link set lo up",
      `link add weave address 02:aa:00:00:00:${node.id.toString(16).padStart(2, "0")} type bridge mcast_snooping 0`,
      `link add vxlan-6784 mtu ${mtu} type vxlan external dstport ${DATA_PORT} nolearning udp6zerocsumrx`,
      "link set weave addrgenmode none",
      "link set vxlan-6784 master weave addrgenmode none",
      `link set weave mtu ${mtu} up`,
      "link set vxlan-6784 up",
    );
    if (this.options.sleeves) {
      using links = node.inside(() => Links.open());
      node.inside(() => ensureSleeveLink(links, macOf(`02:aa:00:00:00:${node.id.toString(16).padStart(2, "0")}`)));
    }
    this.nodes.set(name, node);
  }

  #plug(a: Node, b: Node, number: number): void {
    const [deviceA, deviceB] = [`u${number}`, `u${number}`];
    sh(["ip", "-n", a.netns, "link", "add", deviceA, "type", "veth", "peer", "name", deviceB, "netns", b.netns]);
    for (const [node, device, host] of [
      [a, deviceA, 1],
      [b, deviceB, 2],
    ] as const) {
      ipBatch(
        node.netns,
        `link set ${device} up`,
        `addr add 10.99.${number}.${host}/24 dev ${device}`,
        `addr add fd99:${number}::${host}/64 dev ${device} nodad`,
      );
    }
    const isIpv6 = this.options.ipv6 === "all" || (this.options.ipv6 === "every-second" && number % 2 === 0);
    const addressOf = (host: number) => parseIp(isIpv6 ? `fd99:${number}::${host}` : `10.99.${number}.${host}`)!; // well formed
    const cable: Cable = {
      a,
      b,
      addresses: new Map([
        [a, addressOf(1)],
        [b, addressOf(2)],
      ]),
      devices: new Map([
        [a, deviceA],
        [b, deviceB],
      ]),
    };
    a.cables.push(cable);
    b.cables.push(cable);
    // Both learn each other's MAC now: the queue of an unresolved neighbour is short, and the first frames come in bursts.
    sh(["ip", "netns", "exec", a.netns, "ping", "-n", "-c", "1", "-W", "5", addressOf(2)]);
  }
}

const open = new Set<World>();
process.on("exit", () => {
  for (const world of open) world[Symbol.dispose]();
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));

export function macOf(text: string): Mac {
  const mac = parseMac(text);
  if (mac === undefined) throw new Error(`not a MAC: ${text}`);
  return mac;
}
export function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`not a CIDR: ${text}`);
  return cidr;
}
