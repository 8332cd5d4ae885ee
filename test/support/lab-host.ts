// SPDX-License-Identifier: Apache-2.0
// One host of a lab and its containers: running commands in them, the executable under test, its daemon's process.
import type { Background } from "./command.ts";
import { type Finished, must, type RunOptions, run } from "./command.ts";
import type { Lab, NamespaceHolder } from "./lab.ts";
import { kill, type ProcessInfo, processesIn } from "./processes.ts";
import { PATIENCE, waitFor } from "./wait.ts";

/** The executable under test; another one by WEAVE_EXECUTABLE. */
export const EXECUTABLE = process.env["WEAVE_EXECUTABLE"] ?? new URL("../../dist/weave", import.meta.url).pathname;

/** Something with a network namespace in which commands run: a host or a container of it. */
export abstract class Place {
  readonly name: string;
  readonly lab: Lab;
  constructor(lab: Lab, name: string) {
    this.lab = lab;
    this.name = name;
  }

  /** The command line that runs `command` here. */
  abstract enter(command: readonly string[]): string[];
  /** Network namespace as seen from the test process. */
  abstract get netns(): string;

  /** Runs to the end, whatever the exit code. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return await run(this.enter(command), options);
  }
  /** Runs to the end and must succeed. Returns stdout. */
  async must(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return await must(this.enter(command), options);
  }
  /** Starts a command that ends with the lab at the latest. */
  background(command: readonly string[]): Background {
    return this.lab.background(this.enter(command));
  }

  /** Does `address` answer a ping within `withinMs`? Asked again and again until it does. */
  async reaches(address: string, withinMs = 5_000): Promise<boolean> {
    const end = performance.now() + PATIENCE * withinMs;
    do {
      const { code } = await this.run(["ping", "-q", "-c1", "-W0.5", address]);
      if (code === 0) return true;
    } while (performance.now() < end);
    return false;
  }
}

/** A container as a network namespace with a name, like those of `ip netns`. */
export class Container extends Place {
  readonly host: Host;
  constructor(host: Host, name: string) {
    super(host.lab, name);
    this.host = host;
  }

  /** Path by which programs of the host know it. */
  get path(): string {
    return `/run/netns/${this.name}`;
  }
  get netns(): string {
    return `/proc/${this.host.pid}/root${this.path}`;
  }
  enter(command: readonly string[]): string[] {
    return ["nsenter", "-t", `${this.host.pid}`, "-m", "-u", `--net=${this.netns}`, "--", ...command];
  }

  /** Hardware address of a link of the container. */
  async mac(device = "ethwe"): Promise<string> {
    return await linkField(this, device, "address");
  }
  /** Link-local IPv6 address of a link, once it may be used. */
  async linkLocal(device = "ethwe"): Promise<string> {
    const { found } = await waitFor(`a link-local address on ${device} of ${this.name}`, async () => {
      const addresses = JSON.parse(
        await this.must(["ip", "-j", "-6", "address", "show", "dev", device, "scope", "link", "-tentative"]),
      );
      return (addresses[0]?.addr_info[0]?.local as string | undefined) ?? "";
    });
    return found;
  }
  async remove(): Promise<void> {
    await this.host.must(["ip", "netns", "delete", this.name]);
  }
}

async function linkField(place: Place, device: string, field: string): Promise<string> {
  const links = JSON.parse(await place.must(["ip", "-j", "link", "show", "dev", device]));
  return `${links[0][field]}`;
}

export class Host extends Place {
  readonly pid: number;
  readonly #holder: NamespaceHolder;
  readonly #addresses: string[] = [];
  readonly #addresses6: string[] = [];

  constructor(lab: Lab, name: string, holder: NamespaceHolder) {
    super(lab, name);
    this.#holder = holder;
    this.pid = holder.pid;
  }

  get netns(): string {
    return `/proc/${this.pid}/ns/net`;
  }
  enter(command: readonly string[]): string[] {
    return ["nsenter", "-t", `${this.pid}`, "-n", "-m", "-u", "--", ...command];
  }

  /** Underlay address on the first segment joined. */
  get address(): string {
    const [first] = this.#addresses;
    if (first === undefined) throw new Error(`host '${this.name}' is on no segment`);
    return first;
  }
  get address6(): string {
    const [first] = this.#addresses6;
    if (first === undefined) throw new Error(`host '${this.name}' is on no segment`);
    return first;
  }
  /** Called by the segment that plugs the host in. */
  learnAddress(address: string, address6: string): void {
    this.#addresses.push(address);
    this.#addresses6.push(address6);
  }

  /** Makes empty containers: network namespaces with only a loopback. */
  async containers(...names: readonly string[]): Promise<Container[]> {
    // What this machine prefers may be BBR, which takes a minute to trust a path again that was closed for two seconds. Reno is always allowed.
    const settings = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; echo reno >/proc/sys/net/ipv4/tcp_congestion_control";
    const script = names
      .map((name) => `ip netns add ${name} && nsenter --net=/run/netns/${name} sh -c 'ip link set lo up; ${settings}'`)
      .join(" && ");
    await this.must(["sh", "-c", script]);
    return names.map((name) => new Container(this, name));
  }
  async container(name: string): Promise<Container> {
    const [made] = await this.containers(name);
    if (made === undefined) throw new Error("no container was made");
    return made;
  }

  /** A path on the host as the test process can open it. */
  file(path: string): string {
    return `/proc/${this.pid}/root${path}`;
  }

  /** Every process on this host, the one that holds it open excepted. */
  processes(): ProcessInfo[] {
    const own = this.#holder.pid;
    return processesIn(new Set([this.#holder.mountNamespace])).filter(
      ({ pid, command }) => pid !== own && !(command.length === 1 && command[0] === "cat"),
    );
  }

  /** Runs the executable under test. */
  async weave(...args: readonly string[]): Promise<Finished> {
    return await this.run([EXECUTABLE, ...args]);
  }
  /** Runs the executable under test, which must succeed. Returns stdout. */
  async mustWeave(...args: readonly string[]): Promise<string> {
    const finished = await this.weave(...args);
    if (finished.code !== 0) {
      const words = finished.stderr.trim() || finished.stdout.trim();
      throw new Error(`weave ${args.join(" ")} on ${this.name} ended with ${finished.code}: ${words}${await this.daemonLog()}`);
    }
    return finished.stdout;
  }

  /** Process of the running daemon, undefined when there is none. */
  daemonPid(): number | undefined {
    const daemon = this.processes().find(({ command }) => command[0]?.endsWith("weave") && command[1] === "daemon");
    return daemon?.pid;
  }

  /** Ends the daemon without any chance to tidy up, and waits until it is gone. */
  async killDaemon(): Promise<void> {
    const pid = this.daemonPid();
    if (pid === undefined) throw new Error(`no daemon runs on ${this.name}`);
    kill(pid, "SIGKILL");
    await waitFor(`daemon ${pid} to be gone`, () => this.daemonPid() !== pid, { everyMs: 1 });
  }

  /** The end of the daemon's log, for failures. */
  async daemonLog(lines = 30): Promise<string> {
    const { stdout } = await this.run(["sh", "-c", `tail -n ${lines} /run/weave/daemon.log 2>/dev/null`]);
    return stdout === "" ? "" : `\n--- log of ${this.name} ---\n${stdout}`;
  }
}
