// SPDX-License-Identifier: Apache-2.0
// One underlay network of a lab: a bridge in the lab's switch namespace with a port for each host on it. Ports can be blocked
// (frames vanish, carrier stays: a broken path), unplugged (carrier goes), or kept from each other (a partition).
import { must, run } from "./command.ts";
import type { Host } from "./lab-host.ts";

export interface SegmentOptions {
  readonly mtuBytes?: number;
}

interface Port {
  readonly host: Host;
  readonly number: number;
  /** Name of the host's end. */
  readonly device: string;
  /** Name of the switch's end. */
  readonly port: string;
}

export class Segment {
  readonly #index: number;
  readonly #switchPid: number;
  readonly #mtuBytes: number;
  readonly #ports = new Map<Host, Port>();

  constructor(index: number, switchPid: number, options: SegmentOptions) {
    this.#index = index;
    this.#switchPid = switchPid;
    this.#mtuBytes = options.mtuBytes ?? 1500;
  }

  /** IPv4 address of a host on this segment. */
  address(host: Host): string {
    return `10.200.${this.#index}.${this.#port(host).number}`;
  }

  /** IPv6 address of a host on this segment. */
  address6(host: Host): string {
    return `fd00:99:${this.#index}::${this.#port(host).number.toString(16)}`;
  }

  /** Name of the host's link to this segment. */
  device(host: Host): string {
    return this.#port(host).device;
  }

  get hosts(): readonly Host[] {
    return [...this.#ports.keys()];
  }

  get #bridge(): string {
    return `s${this.#index}`;
  }

  #port(host: Host): Port {
    const port = this.#ports.get(host);
    if (port === undefined) throw new Error(`host '${host.name}' is not on segment ${this.#index}`);
    return port;
  }

  /** Makes the bridge. */
  async build(): Promise<void> {
    const bridge = [`link add ${this.#bridge} type bridge mcast_snooping 0 forward_delay 0 stp_state 0`];
    bridge.push(`link set ${this.#bridge} mtu ${this.#mtuBytes} up`);
    await this.#inSwitch(["ip", "-batch", "-"], bridge.join("\n"));
  }

  /** Gives the host a link to this segment, with addresses that end in `number`. */
  async plugIn(host: Host, number: number): Promise<void> {
    const port: Port = { host, number, device: `e${this.#index}`, port: `s${this.#index}p${number}` };
    this.#ports.set(host, port);
    const mtu = `mtu ${this.#mtuBytes}`;
    const pair = `link add ${port.device} ${mtu} netns ${host.pid} type veth peer name ${port.port} ${mtu} netns ${this.#switchPid}`;
    await must(["ip", "-batch", "-"], { stdin: pair });
    await this.#inSwitch(["ip", "link", "set", port.port, "master", this.#bridge, "up"]);
    const setup = [
      `link set ${port.device} up`,
      `address add ${this.address(host)}/24 dev ${port.device}`,
      `address add ${this.address6(host)}/64 dev ${port.device} nodad`,
    ];
    await host.must(["ip", "-batch", "-"], { stdin: setup.join("\n") });
    host.learnAddress(this.address(host), this.address6(host));
  }

  async #inSwitch(command: readonly string[], stdin?: string): Promise<string> {
    return await must(["nsenter", "-t", `${this.#switchPid}`, "-n", "-m", ...command], { stdin });
  }

  /** Frames from and to these hosts vanish here; nobody's carrier changes. */
  async cut(...hosts: readonly Host[]): Promise<void> {
    for (const host of hosts) await this.#inSwitch(["bridge", "link", "set", "dev", this.#port(host).port, "state", "0"]);
  }

  /** Undoes `cut`. */
  async heal(...hosts: readonly Host[]): Promise<void> {
    for (const host of hosts) await this.#inSwitch(["bridge", "link", "set", "dev", this.#port(host).port, "state", "3"]);
  }

  /** Pulls a host's plug (its carrier goes) or puts it in again. */
  async plug(host: Host, state: "in" | "out"): Promise<void> {
    await this.#inSwitch(["ip", "link", "set", this.#port(host).port, state === "in" ? "up" : "down"]);
  }

  /** Splits the segment at one stroke: hosts hear only those of their own island, hosts not named hear nobody of an island. */
  async partition(islands: readonly (readonly Host[])[]): Promise<void> {
    const rules = islands.map((island) => {
      const ports = `{ ${island.map((host) => this.#port(host).port).join(", ")} }`;
      return `iifname ${ports} oifname != ${ports} drop\n oifname ${ports} iifname != ${ports} drop`;
    });
    const chain = `chain islands { type filter hook forward priority 0; policy accept;\n ${rules.join("\n ")}\n }`;
    // In one transaction, so that no island is ever split in itself.
    const table = `table bridge ${this.#bridge}`;
    await this.#inSwitch(["nft", "-f", "-"], `add ${table}\ndelete ${table}\n${table} {\n ${chain}\n}`);
  }

  /** Undoes `partition`. */
  async join(): Promise<void> {
    await this.#inSwitch(["nft", "delete", "table", "bridge", this.#bridge]);
  }

  /** Everything that crosses the wire at this host's port, as tcpdump prints it; filter in its language. */
  captureCommand(host: Host, filter: string): readonly string[] {
    // biome-ignore format: one word of the command line after the other
    return ["nsenter", "-t", `${this.#switchPid}`, "-n", "-m",
      "tcpdump", "-i", this.#port(host).port, "-n", "-U", "-l", "-e", "-x", "--immediate-mode", filter];
  }

  /** Path of the switch's network namespace and name of the host's port in it, for frame sockets. */
  tap(host: Host): { readonly netns: string; readonly device: string } {
    return { netns: `/proc/${this.#switchPid}/ns/net`, device: this.#port(host).port };
  }

  /** Can a host reach another over this segment now? */
  async reaches(from: Host, to: Host): Promise<boolean> {
    const { code } = await run(from.enter(["ping", "-c1", "-W0.3", this.address(to)]));
    return code === 0;
  }
}
