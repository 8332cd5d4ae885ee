// SPDX-License-Identifier: Apache-2.0
// One machine for the attach tests: a network namespace with a bridge stands for the host, named namespaces for containers; the real plumber,
// the real store, and a switch that only remembers. `crash` makes new parts over the same kernel and the same database, as a restart does.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { explicitAddresses } from "../../../src/attach/addresses.ts";
import { Attacher } from "../../../src/attach/attacher.ts";
import type { Container, ContainerRuntime, PortGuard, SwitchPorts } from "../../../src/attach/ports.ts";
import { Exposer } from "../../../src/expose/exposer.ts";
import type { Firewall } from "../../../src/expose/exposure.ts";
import { Links } from "../../../src/host/links.ts";
import { Netns } from "../../../src/host/netns.ts";
import { HostPlumber } from "../../../src/host/plumber.ts";
import { HostBridge } from "../../../src/host/plumber-bridge.ts";
import { hostsFile } from "../../../src/host/plumber-hosts-file.ts";
import { HostNamespaces } from "../../../src/host/plumber-namespaces.ts";
import { macFromNumber } from "../../../src/net/mac.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { openStore, type Store } from "../../../src/store/store.ts";
import { type Finished, must, run } from "../../support/command.ts";

export const BRIDGE = "weave";
const MTU_BYTES = 1376;
let worlds = 0;

export class RememberingSwitch implements SwitchPorts {
  readonly ports = new Map<number, PortGuard>();
  attachPort(ifindex: number, guard: PortGuard): void {
    this.ports.set(ifindex, guard);
  }
  detachPort(ifindex: number): void {
    this.ports.delete(ifindex);
  }
}

/** Everything one run of the daemon would construct. */
export interface Parts {
  readonly attacher: Attacher;
  readonly exposer: Exposer;
  readonly store: Store;
}

export class AttachWorld implements AsyncDisposable {
  readonly host: string;
  readonly home: Netns;
  readonly links: Links;
  readonly dataDir: string;
  readonly switchPorts = new RememberingSwitch();
  readonly containers = new Map<string, Container>();
  runtime: ContainerRuntime = { inspect: async (word) => this.containers.get(word) };
  firewall: Firewall = { apply: async () => [], droppingChains: async () => [] };
  bootId = "boot-1";
  onStep: (step: string) => void = () => {};
  readonly #tag: string;
  readonly #named = new Set<string>();
  readonly #closing = new DisposableStack();
  #parts: (Parts & { stack: DisposableStack }) | undefined;

  private constructor(tag: string) {
    this.#tag = tag;
    this.host = `${tag}h`;
    this.home = this.#closing.use(Netns.open(`/run/netns/${this.host}`));
    this.links = this.#closing.use(Links.openIn(this.home));
    this.dataDir = mkdtempSync(join(tmpdir(), "wa-attach-"));
  }

  static async make(): Promise<AttachWorld> {
    const tag = `wa${process.pid}-${worlds++}`;
    await must(["ip", "netns", "add", `${tag}h`]);
    await must(["ip", "-n", `${tag}h`, "link", "set", "lo", "up"]);
    const world = new AttachWorld(tag);
    world.#named.add(world.host);
    world.makeBridge();
    return world;
  }

  makeBridge(): void {
    const bridge = this.links.createBridge({ name: BRIDGE, mac: macFromNumber(0x02_00_00_00_00_01), mtuBytes: 1500 }, {});
    // Changed afterwards, so that the kernel does not derive it from the ports again (br_mtu_auto_adjust in net/bridge/br_if.c).
    this.links.change(bridge.index, { up: true, mtuBytes: MTU_BYTES });
  }

  /** A named namespace; the name others see. */
  async container(name: string): Promise<string> {
    const full = `${this.#tag}${name}`;
    await must(["ip", "netns", "add", full]);
    this.#named.add(full);
    return full;
  }
  async endContainer(full: string): Promise<void> {
    this.#named.delete(full);
    await must(["ip", "netns", "del", full]);
  }

  /** Output of a command inside a namespace, or the host's without a name. */
  inside(command: readonly string[], name = this.host): Promise<string> {
    return must(["ip", "netns", "exec", name, ...command]);
  }
  async addresses(name: string, link = "ethwe"): Promise<string[]> {
    const shown = await this.#show(["ip", "-n", name, "-j", "addr", "show", "dev", link]);
    if (shown.code !== 0) return [];
    const [entry] = JSON.parse(shown.stdout) as { addr_info: { local: string; prefixlen: number; scope: string }[] }[];
    return (entry?.addr_info ?? []).filter((one) => one.scope === "global").map((one) => `${one.local}/${one.prefixlen}`);
  }
  /** `ip` fails when something changes anywhere in the namespace while it lists; then it is asked again. */
  async #show(command: readonly string[]): Promise<Finished> {
    for (;;) {
      const shown = await run(command);
      if (!shown.stderr.includes("Dump was interrupted")) return shown;
    }
  }
  /** Ports of the bridge. */
  ports(): string[] {
    const bridge = this.links.get(BRIDGE)?.index;
    return this.links
      .list()
      .filter((link) => bridge !== undefined && link.master === bridge)
      .map((link) => link.name);
  }

  guardOf(link: string): PortGuard | undefined {
    return this.switchPorts.ports.get(this.links.get(link)?.index ?? 0);
  }
  /** Whether a process lives in the named namespace. */
  sameNetns(pid: number, name: string): boolean {
    using one = Netns.open(`/proc/${pid}/ns/net`);
    using other = Netns.open(`/run/netns/${name}`);
    return one.isSame(other);
  }

  /** The running daemon's parts. */
  get parts(): Parts {
    this.#parts ??= constructParts({ ...this, home: this.home, onStep: (step) => this.onStep(step) });
    return this.#parts;
  }
  /** What is left when the process ends without a word: kernel and database. The next `parts` are a new daemon's. */
  crash(): void {
    this.#parts?.stack[Symbol.dispose]();
    this.#parts = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.crash();
    this.#closing[Symbol.dispose]();
    for (const name of this.#named) await run(["ip", "netns", "del", name]);
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

/** What a run of the daemon constructs its parts from. */
export interface PartsOptions {
  readonly home: Netns;
  readonly dataDir: string;
  readonly bootId: string;
  readonly runtime: ContainerRuntime;
  readonly firewall: Firewall;
  readonly switchPorts: SwitchPorts;
  readonly onStep: (step: string) => void;
}

export function constructParts(options: PartsOptions): Parts & { stack: DisposableStack } {
  const stack = new DisposableStack();
  const home = { home: options.home };
  const store = stack.use(openStore(options.dataDir, systemClock));
  const namespaces = new HostNamespaces(home);
  const { onStep } = options;
  const plumber = stack.use(new HostPlumber({ bridge: BRIDGE, namespaces, log: silentLog, onStep, ...home }));
  const bridge = stack.use(new HostBridge({ bridge: BRIDGE, log: silentLog, ...home }));
  const shared = { addresses: explicitAddresses, hostRoutes: bridge, log: silentLog, onStep };
  const attacher: Attacher = new Attacher(
    { hostName: "02:00:00:00:00:01", bootId: options.bootId },
    {
      ...shared,
      journal: store.attachments,
      plumber,
      namespaces,
      switchPorts: options.switchPorts,
      runtime: options.runtime,
      hostsFile,
      names: { register: () => [], withdraw: () => {} },
      isExposed: (ip) => exposer.holds(ip),
      clock: systemClock,
    },
  );
  const exposer: Exposer = new Exposer({
    ...shared,
    journal: store.exposures,
    bridge,
    firewall: options.firewall,
    holderOf: (ip) => attacher.holderOf(ip),
  });
  return { attacher, exposer, store, stack };
}

/** What `promise` was rejected with. @throws when it was not */
export async function failure(promise: Promise<unknown>): Promise<UserError> {
  const outcome = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (outcome instanceof UserError) return outcome;
  throw new Error(`expected a refusal, got ${outcome === undefined ? "success" : outcome}`, { cause: outcome });
}
