// SPDX-License-Identifier: Apache-2.0
// Transports on loopback, and links whose events are kept.
import { sodiumSealing } from "../../src/host/sealing.ts";
import { ADMISSION_LIMITS, type AdmissionLimits } from "../../src/host/tcp-admission.ts";
import { TcpTransport, type TcpTransportOptions } from "../../src/host/tcp-transport.ts";
import type { PeerName, ShortId } from "../../src/mesh/peer-name.ts";
import type { DialResult, Link } from "../../src/mesh/ports.ts";
import type { HelloWords } from "../../src/mesh/secure/hello.ts";
import type { Ip } from "../../src/net/ip.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { Counters } from "../../src/runtime/counters.ts";
import { silentLog } from "../../src/runtime/log.ts";
import { waitFor } from "./wait.ts";

/** A hello of peer number `n`. */
export function helloOf(n: number): HelloWords {
  return {
    name: (0x02_00_00_00_00_00 + n) as PeerName,
    nickname: `host${n}`,
    uid: n.toString(16).padStart(16, "0"),
    shortId: n as ShortId,
    port: 6783,
    nonce: 1000 + n,
    trusted: false,
    transports: ["fastdp"],
  };
}

/** A started link and what came over it. */
export class KeptLink {
  readonly link: Link;
  readonly messages: Uint8Array[] = [];
  readonly closed: string[] = [];
  constructor(link: Link) {
    this.link = link;
    link.start({ message: (bytes) => void this.messages.push(bytes), closed: (reason) => void this.closed.push(reason) });
  }
}

/** One listening end on 127.0.0.1, on a free port, with every link it accepts. */
export class TestPeer implements AsyncDisposable {
  readonly transport: TcpTransport;
  readonly accepted: KeptLink[] = [];
  readonly counters = new Counters();
  readonly identity = sodiumSealing.keyPair();
  readonly n: number;

  /** `listens`: on all addresses instead of 127.0.0.1 alone, or on none. */
  constructor(
    n: number,
    passwords: readonly string[] = [],
    options: Partial<TcpTransportOptions> & { listens?: "everywhere" | "nowhere" } = {},
  ) {
    this.n = n;
    const { listens, ...others } = options;
    this.transport = new TcpTransport({
      ...(listens === "everywhere" ? {} : { host: "127.0.0.1" as Ip }),
      port: 0,
      identity: this.identity,
      passwords,
      sealing: sodiumSealing,
      clock: systemClock,
      log: silentLog,
      counters: this.counters,
      hello: () => helloOf(n),
      accepted: (link) => void this.accepted.push(new KeptLink(link)),
      limits: GENEROUS,
      ...others,
    });
    if (listens !== "nowhere") this.transport.listen();
  }
  get address(): string {
    return this.transport.boundAddress!;
  }
  get port(): number {
    return Number(this.address.split(":").pop());
  }
  dial(target: string): Promise<DialResult> {
    return new Promise((resolve) => void this.transport.dial(target, () => helloOf(this.n), resolve));
  }
  /** @throws {Error} with the reason when there is no link */
  async dialled(target: string): Promise<KeptLink> {
    const result = await this.dial(target);
    if ("error" in result) throw new Error(result.error);
    return new KeptLink(result.link);
  }
  refusals(): Record<string, number> {
    const family = [...this.counters.all()].find(({ name }) => name === "weave_control_connections_refused_total");
    return Object.fromEntries(family?.read() ?? []);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport.stop();
  }
}

/** One machine plays all hosts in a test, so the limit per address would hit the honest. */
export const GENEROUS: AdmissionLimits = { ...ADMISSION_LIMITS, perAddress: 64, burst: 100_000 };

/** The link on both ends. */
export async function linked(dialler: TestPeer, listener: TestPeer): Promise<{ near: KeptLink; far: KeptLink }> {
  const before = listener.accepted.length;
  const near = await dialler.dialled(listener.address);
  const { found: far } = await waitFor("the listener has the link", () => listener.accepted[before]);
  return { near, far };
}
