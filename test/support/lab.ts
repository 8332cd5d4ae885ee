// SPDX-License-Identifier: Apache-2.0
// A lab: many Linux "hosts" on one machine, each a long-lived process in network, mount and UTS namespaces of its own, with private
// /run, /var/lib, /etc and bpffs, joined by underlay segments. Nothing of it has a name outside; closing the lab, ending the test
// process in any way, or the next lab's start removes all of it.
//
//   host h1 ── e1 ──┐                ┌── e1 ── host h2          a segment is a bridge in the lab's switch namespace,
//   (containers =   p1  bridge s1   p2                          so a cable can be cut without either host noticing
//    named netns)
import { closeSync, openSync } from "node:fs";
import { Background, labEnvironment, must } from "./command.ts";
import { Host } from "./lab-host.ts";
import { isAlive, kill, killAllIn, namespaceOf, orphansOfDeadLabs, type ProcessInfo } from "./processes.ts";
import { Segment, type SegmentOptions } from "./segment.ts";

const INIT_SCRIPT = new URL("./lab-init.sh", import.meta.url).pathname;

/** A process that holds namespaces open until its stdin closes. */
export class NamespaceHolder {
  readonly pid: number;
  readonly mountNamespace: string;
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  /** Keeps the namespace's number from being given to another one, whose processes would then be taken for ours. */
  readonly #pin: number;

  private constructor(child: Bun.Subprocess<"pipe", "pipe", "inherit">) {
    this.#child = child;
    this.pid = child.pid;
    this.#pin = openSync(`/proc/${child.pid}/ns/mnt`, "r");
    this.mountNamespace = namespaceOf(child.pid, "mnt") ?? "";
  }

  static async open(name: string, environment: Record<string, string>): Promise<NamespaceHolder> {
    const child = Bun.spawn(
      ["unshare", "--net", "--mount", "--uts", "--propagation", "private", "sh", INIT_SCRIPT, name, `wl-${process.pid}-${name}`],
      { stdin: "pipe", stdout: "pipe", stderr: "inherit", env: environment },
    );
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    if (value === undefined || new TextDecoder().decode(value).trim() !== "ready") {
      throw new Error(`cannot make lab host '${name}'; it needs root, namespaces and overlayfs (its own words are above)`);
    }
    return new NamespaceHolder(child);
  }

  /** Kernel objects go away a moment after the last process. */
  async gone(): Promise<void> {
    await this.#child.exited;
    closeSync(this.#pin);
  }
}

const openLabs = new Set<Lab>();

/** Ends everything of all open labs at once. Runs on the way out, however that came. */
function closeAllNow(): void {
  for (const lab of openLabs) lab.closeNow();
}
for (const [signal, number] of [
  ["SIGINT", 2],
  ["SIGTERM", 15],
  ["SIGHUP", 1],
] as const) {
  process.on(signal, () => {
    if (openLabs.size === 0 && process.listenerCount(signal) > 1) return;
    closeAllNow();
    process.exit(128 + number);
  });
}
process.on("exit", closeAllNow);

export class Lab implements AsyncDisposable {
  readonly #hosts = new Map<string, Host>();
  readonly #holders: NamespaceHolder[] = [];
  readonly #segments: Segment[] = [];
  readonly #background = new Set<Background>();
  #switch: NamespaceHolder | undefined;

  /** An empty lab. Removes what labs of dead processes left. */
  static async open(): Promise<Lab> {
    for (const { pid } of orphansOfDeadLabs()) kill(pid);
    const lab = new Lab();
    openLabs.add(lab);
    try {
      lab.#switch = await lab.#hold("switch");
      return lab;
    } catch (thrown) {
      await lab.close();
      throw thrown;
    }
  }

  /** A lab with these hosts and one segment for each list of names. */
  static async with(plan: {
    readonly hosts: readonly string[];
    readonly segments: readonly (readonly string[])[];
  }): Promise<Lab> {
    const lab = await Lab.open();
    try {
      await lab.addHosts(...plan.hosts);
      for (const names of plan.segments) await lab.connect(names.map((name) => lab.host(name)));
      return lab;
    } catch (thrown) {
      await lab.close();
      throw thrown;
    }
  }

  async #hold(name: string): Promise<NamespaceHolder> {
    const holder = await NamespaceHolder.open(name, labEnvironment());
    this.#holders.push(holder);
    return holder;
  }

  /** Makes hosts, all at once. */
  async addHosts(...names: readonly string[]): Promise<Host[]> {
    const made = await Promise.all(names.map(async (name) => new Host(this, name, await this.#hold(name))));
    for (const host of made) this.#hosts.set(host.name, host);
    return made;
  }

  host(name: string): Host {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`this lab has no host '${name}'`);
    return host;
  }

  get hosts(): readonly Host[] {
    return [...this.#hosts.values()];
  }

  /** Joins hosts by one underlay segment: n-th segment 10.200.n.0/24 and fd00:99:n::/64, the k-th host of the lab has .k and ::k. */
  async connect(hosts: readonly Host[], options: SegmentOptions = {}): Promise<Segment> {
    if (this.#switch === undefined) throw new Error("this lab is closed");
    const segment = new Segment(this.#segments.length + 1, this.#switch.pid, options);
    this.#segments.push(segment);
    const everybody = this.hosts;
    await segment.build();
    await Promise.all(hosts.map((host) => segment.plugIn(host, everybody.indexOf(host) + 1)));
    return segment;
  }

  /** The n-th segment made, counted from 0. */
  segment(index: number): Segment {
    const segment = this.#segments[index];
    if (segment === undefined) throw new Error(`this lab has no segment ${index}`);
    return segment;
  }

  /** The segments a host is on. */
  segmentsOf(host: Host): readonly Segment[] {
    return this.#segments.filter(({ hosts }) => hosts.includes(host));
  }

  /** A cable without a switch between two hosts, for measurements. Devices `device` on both ends. */
  async wire(a: Host, b: Host, device: string, mtuBytes = 1500): Promise<void> {
    await must(
      // biome-ignore format: one word of the command line after the other
      ["ip", "link", "add", device, "mtu", `${mtuBytes}`, "netns", `${a.pid}`, "type", "veth",
       "peer", "name", device, "mtu", `${mtuBytes}`, "netns", `${b.pid}`],
    );
    await Promise.all([a, b].map((host) => host.must(["ip", "link", "set", device, "up"])));
  }

  /** Starts a command that ends with the lab at the latest. */
  background(command: readonly string[]): Background {
    const started = new Background(command);
    this.#background.add(started);
    return started;
  }

  /** All processes that live in the lab, its holders excepted. */
  processes(): ProcessInfo[] {
    const own = new Set(this.#holders.map(({ pid }) => pid));
    return this.hosts.flatMap((host) => host.processes()).filter(({ pid }) => !own.has(pid));
  }

  /** Synchronous end, for signals. */
  closeNow(): void {
    openLabs.delete(this);
    killAllIn(new Set(this.#holders.map(({ mountNamespace }) => mountNamespace)));
  }

  /** Ends every process of the lab; its namespaces, links, mounts and files go with the last of them.
   *  @throws {Error} when a process survived */
  async close(): Promise<void> {
    const background = [...this.#background];
    for (const { pid, running } of background) if (running) kill(pid);
    this.closeNow();
    await Promise.all(background.map((command) => command.ended(3_000)));
    const holders = this.#holders.splice(0);
    await Promise.all(holders.map((holder) => holder.gone()));
    const left = holders.filter(({ pid }) => isAlive(pid));
    if (left.length > 0) throw new Error(`lab processes survived: ${left.map(({ pid }) => pid).join(", ")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
