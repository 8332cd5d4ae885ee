// SPDX-License-Identifier: Apache-2.0
// The small world of the switch's tests, with a sleeve on every host instead of clear paths: the real switch, the real Worker, sessions as the
// overlay would open them.
//
//   guest ── port │ bridge, switch ── vethwe-sleeve ══ vethwe-pcap ── Worker ── UDP ── u1 ══ u1 ── …

import { Links } from "../../../src/host/links.ts";
import { ensureSleeveLink } from "../../../src/host/sleeve-link.ts";
import type { SleeveFigures, SleeveSessionFigures } from "../../../src/host/sleeve-messages.ts";
import { macFromNumber } from "../../../src/net/mac.ts";
import type { SleeveCipher } from "../../../src/overlay/carriers.ts";
import type { DatapathPlan } from "../../../src/overlay/plan.ts";
import { waitFor } from "../../support/wait.ts";
import { planOf } from "../switch/plans.ts";
import { type Node, sh, World, type WorldOptions } from "../switch/world.ts";
import type { Opening, Order } from "./carrier.ts";

const CARRIER = new URL("./carrier.ts", import.meta.url).pathname;
export const SLEEVE_PORT = 6783;

export interface SleevesOptions extends Omit<WorldOptions, "bare"> {
  readonly cipher?: SleeveCipher;
  /** Largest IP packet of the underlay; the cables have it too. */
  readonly underlayMtuBytes?: number;
  /** Between host and Worker, for tests of a host that knows less. */
  readonly sessions?: "none";
}

type Told = {
  readonly event: string;
  readonly localIndex?: number;
  readonly bytes?: number;
  readonly address?: string;
  readonly port?: number;
  readonly reason?: string;
  readonly figures?: SleeveFigures;
};

/** One host's sleeve. */
export class Carrier {
  readonly node: Node;
  readonly told: Told[] = [];
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  #stderr = "";

  constructor(node: Node, largestMtuBytes: number) {
    this.node = node;
    const options = { port: SLEEVE_PORT, captureLink: "vethwe-pcap", largestMtuBytes };
    this.#child = Bun.spawn(["ip", "netns", "exec", node.netns, process.execPath, CARRIER, JSON.stringify(options)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    void this.#listen();
    void new Response(this.#child.stderr).text().then((text) => {
      this.#stderr = text;
    });
  }
  async ready(): Promise<void> {
    await waitFor(`the sleeve of ${this.node.name}`, () => this.told.some(({ event }) => event === "ready"), {
      show: () => this.#stderr,
    });
  }
  get pid(): number {
    return this.#child.pid;
  }
  /** The process that runs the Worker: ip-netns(8) has become it. */
  workerPid(): number {
    return this.#child.pid;
  }
  order(order: Order): void {
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    this.#child.stdin.flush();
  }
  open(session: Opening): void {
    this.order({ do: "open", session });
  }
  async figures(): Promise<SleeveFigures> {
    const before = this.told.length;
    this.order({ do: "figures" });
    const { found } = await waitFor("figures", () => this.told.slice(before).find(({ event }) => event === "figures"));
    if (!found.figures) throw new Error("the sleeve has ended");
    return found.figures;
  }
  async session(localIndex: number): Promise<SleeveSessionFigures> {
    const found = (await this.figures()).sessions.find((session) => session.localIndex === localIndex);
    if (!found) throw new Error(`no session ${localIndex}`);
    return found;
  }
  /** The last thing told of this kind. */
  last(event: string): Told | undefined {
    return this.told.findLast((told) => told.event === event);
  }
  async stop(): Promise<void> {
    this.#child.stdin.end();
    await this.#child.exited;
  }
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async #listen(): Promise<void> {
    let rest = "";
    for await (const chunk of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.told.push(JSON.parse(line) as Told);
    }
  }
}

export class Sleeves implements AsyncDisposable {
  readonly world: World;
  readonly carriers = new Map<string, Carrier>();
  readonly #options: SleevesOptions;

  private constructor(options: SleevesOptions) {
    this.#options = options;
    this.world = new World(options);
  }
  static async open(options: SleevesOptions): Promise<Sleeves> {
    const sleeves = new Sleeves(options);
    try {
      await sleeves.#start();
      return sleeves;
    } catch (thrown) {
      await sleeves[Symbol.asyncDispose]();
      throw thrown;
    }
  }
  carrier(host: string): Carrier {
    const carrier = this.carriers.get(host);
    if (!carrier) throw new Error(`no sleeve on '${host}'`);
    return carrier;
  }
  /** What the end at `from` of its session with `to` is called there. */
  static index(from: Node, to: Node): number {
    return from.id * 1000 + to.id;
  }
  /** Opens both ends of a session. */
  connect(a: Node, b: Node, cipher: SleeveCipher = this.#options.cipher ?? "aes256gcm", secret = "5a".repeat(32)): void {
    for (const [own, other] of [
      [a, b],
      [b, a],
    ] as const) {
      this.carrier(own.name).open({
        neighbour: other.id,
        localIndex: Sleeves.index(own, other),
        remoteIndex: Sleeves.index(other, own),
        secret: cipher === "none" ? undefined : secret,
        initiator: own === a,
        cipher,
        address: this.world.cable(a.name, b.name).addresses.get(other) ?? "",
        port: SLEEVE_PORT,
      });
    }
  }
  /** Waits until both ends know a path MTU of at least so much. */
  async settled(a: Node, b: Node, mtuBytes: number): Promise<void> {
    for (const [own, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const carrier = this.carrier(own.name);
      await waitFor(
        `${own.name} finds a path MTU of ${mtuBytes} to ${other.name}`,
        async () => (await carrier.session(Sleeves.index(own, other))).pathMtuBytes >= mtuBytes,
        { show: () => carrier.figures(), everyMs: 20 },
      );
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.carriers.values()].map((carrier) => carrier.stop()));
    this.world[Symbol.dispose]();
  }

  async #start(): Promise<void> {
    const mtu = this.#options.underlayMtuBytes ?? 1500;
    for (const node of this.world.nodes.values()) {
      for (const device of node.cables.map((cable) => cable.devices.get(node) ?? "")) {
        sh(["ip", "-n", node.netns, "link", "set", device, "mtu", `${mtu}`]);
      }
      const { ifindex } = node.inside(() => {
        using links = Links.open();
        return ensureSleeveLink(links, macFromNumber(0x02_0000_0000_00 + node.id * 256));
      });
      node.open({}, { sleeveIfindex: ifindex });
      node.apply(bySleeve(planOf(this.world, node)));
      for (const guest of node.guests) node.inside(() => node.datapath.attachPort(guest.ifindex, guest.policy));
      this.carriers.set(node.name, new Carrier(node, mtu));
    }
    for (const carrier of this.carriers.values()) await carrier.ready();
    if (this.#options.sessions === "none") return;
    for (const node of this.world.nodes.values()) {
      for (const { a, b } of node.cables) if (a === node) this.connect(a, b);
    }
  }
}

/** The same routes over sleeves. */
function bySleeve(plan: DatapathPlan): DatapathPlan {
  const path = { kind: "sleeve" } as const;
  const neighbours = [...plan.neighbours].map(([id, entry]) => [id, { ...entry, send: path, accept: [path] }] as const);
  return { ...plan, neighbours: new Map(neighbours) };
}
