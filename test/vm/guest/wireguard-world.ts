// SPDX-License-Identifier: Apache-2.0
// Two hosts as bare network namespaces with a cable between them, each with WireGuard as the daemon sets it up. Each has a default
// route over the cable, so whatever finds no other way leaves there.
//
//   a  e1 10.9.0.1, fd00:9::1 ────────── e1 10.9.0.2, fd00:9::2  b
import { randomBytes } from "../../../native/libsodium/memory.ts";
import { newSecretKey, publicKeyOf } from "../../../native/libsodium/x25519.ts";
import { Wireguard } from "../../../src/host/wireguard.ts";
import { removeWireguard } from "../../../src/host/wireguard-link.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import type { WireguardPeer } from "../../../src/overlay/carriers.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { createLog } from "../../../src/runtime/log.ts";
import { FrameSocket } from "../../support/frames.ts";
import { peerName } from "../../support/records.ts";
import { ScratchNetns, testMac } from "../../unit/host/scratch.ts";

export const PORT = 6785;
const PREFIX = "fd7765617665"; // of all inside addresses
type Agreed = NonNullable<WireguardPeer["agreed"]>;

export function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`'${text}' is not an address`);
  return parsed;
}

/** One of the two. */
export class End implements Disposable {
  readonly scratch = ScratchNetns.make();
  readonly number: number;
  readonly identity = publicKeyOf(newSecretKey());
  readonly logged: string[] = [];
  /** Indices the link has had. */
  readonly indices: number[] = [];
  wireguard: Wireguard;

  constructor(number: number) {
    this.number = number;
    this.wireguard = this.open();
  }

  /** What a daemon does that starts. @throws {Error} why it cannot */
  open(): Wireguard {
    const opened = Wireguard.open({
      links: this.scratch.links,
      netns: this.scratch.netns,
      port: PORT,
      identity: this.identity,
      underlayMtuBytes: () => 1500,
      clock: systemClock,
      log: createLog({ level: "warn", write: (line) => this.logged.push(line) }),
      linkChanged: (ifindex) => this.indices.push(ifindex),
    });
    if (typeof opened === "string") throw new Error(opened);
    return opened;
  }
  restart(): void {
    this.wireguard[Symbol.dispose]();
    this.wireguard = this.open();
  }

  get inside(): Ip {
    return this.wireguard.insideOf(this.identity);
  }
  /** As another one is told about it. */
  asPeer(agreed: Partial<Agreed> | undefined): WireguardPeer {
    const name = peerName(this.number);
    if (agreed === undefined) return { name, inside: this.inside, agreed };
    const endpoint = { address: ip(`10.9.0.${this.number}`), port: PORT };
    const known = { publicKey: this.wireguard.publicKey, presharedKey: undefined, endpoint, keepalive: false };
    return { name, inside: this.inside, agreed: { ...known, ...agreed } };
  }

  run(...command: readonly string[]): string {
    return this.scratch.run(...command);
  }
  /** How many of `count` pings to an address were answered. */
  pings(address: Ip, count = 1, gapSeconds = 0.05, waitSeconds = 2): number {
    const script = `ping -6 -q -n -c ${count} -i ${gapSeconds} -W ${waitSeconds} ${address} || true`;
    return Number(/(\d+) received/.exec(this.run("sh", "-c", script))?.[1] ?? 0);
  }
  /** What `wg show` would say of the other one. */
  get figures() {
    return [...this.wireguard.figures().values()][0];
  }

  [Symbol.dispose](): void {
    removeWireguard(this.scratch.links);
    this.wireguard[Symbol.dispose]();
    this.scratch[Symbol.dispose]();
  }
}

export class World implements Disposable {
  readonly a = new End(1);
  readonly b = new End(2);
  readonly wire: FrameSocket;

  constructor() {
    const { a, b } = this;
    a.scratch.links.createVeth({ name: "e1", mac: testMac(1) }, { name: "e1", mac: testMac(2), netns: b.scratch.netns });
    for (const end of [a, b]) {
      const commands = [
        "link set lo up",
        "link set e1 up",
        `address add 10.9.0.${end.number}/24 dev e1`,
        `address add fd00:9::${end.number}/64 dev e1 nodad`,
        `route add default via fd00:9::${3 - end.number} dev e1`,
      ];
      end.run("sh", "-c", `printf '${commands.join("\\n")}\\n' | ip -batch -`);
    }
    this.wire = new FrameSocket(b.scratch.path, "e1", "both");
  }

  /** Both ends agree on a preshared key, as over a new control connection. */
  agree(presharedKey = randomBytes(32), more: Partial<Agreed> = {}): void {
    this.a.wireguard.setPeers([this.b.asPeer({ presharedKey, ...more })]);
    this.b.wireguard.setPeers([this.a.asPeer({ presharedKey, ...more })]);
  }

  /** Frames on the cable that tell of an inside address, and how many there were at all. */
  leaks(): { readonly frames: number; readonly clear: string[] } {
    const frames = this.wire.drain().map((frame) => Buffer.from(frame).toString("hex"));
    return { frames: frames.length, clear: frames.filter((frame) => frame.includes(PREFIX)) };
  }

  [Symbol.dispose](): void {
    this.wire[Symbol.dispose]();
    this.a[Symbol.dispose]();
    this.b[Symbol.dispose]();
  }
}
