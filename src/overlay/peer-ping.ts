// SPDX-License-Identifier: Apache-2.0
// Measures the ways to one peer while somebody waits: every path to a neighbour by probes, which its kernel reflects; the route of frames by
// asking each peer on it for its next hop; and the way of control messages, which needs the daemons and may be another one.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Gossip, GossipHandler, Routes } from "../mesh/ports.ts";
import type { Clock } from "../runtime/clock.ts";
import { UserError } from "../runtime/errors.ts";
import { decodeHopMessage, encodeHopMessage, type HopPath, type Tell } from "./hop-channel.ts";
import type { PathAlternative, PathStatus } from "./path-status.ts";
import type { Path, PathKind } from "./plan.ts";

export interface PeerPingPorts {
  readonly clock: Clock;
  readonly self: PeerName;
  routes(): Routes;
  /** undefined: not a neighbour. */
  pathOf(name: PeerName): PathStatus | undefined;
  /** Paths to a neighbour that can be probed now. */
  probeable(name: PeerName): readonly Path[];
  /** Largest packet of containers here and there; undefined: not a neighbour. */
  largestBytes(name: PeerName): number | undefined;
  /** Round trip of one probe, `sizeBytes` long as an IP packet or as short as can be; undefined: no answer in time. */
  probe(name: PeerName, path: Path, timeoutMs: number, sizeBytes: number | undefined): Promise<number | undefined>;
  /** The channel of hop-channel.ts. */
  channel(handler: GossipHandler): Gossip;
}

export interface Series {
  readonly sent: number;
  /** Of those that were answered. */
  readonly rttsMs: readonly number[];
}
export interface PingedPath extends PathAlternative {
  readonly inUse: boolean;
  /** undefined: it could not be probed. */
  readonly series: Series | undefined;
}
export interface Hop {
  readonly from: PeerName;
  readonly to: PeerName;
  readonly path: HopPath;
}
export interface PingResult {
  /** To a neighbour, best first. */
  readonly paths: readonly PingedPath[];
  /** Of frames, as far as it is known. */
  readonly route: readonly Hop[];
  /** Why the route ends before the peer: the last peer on it has none or does not answer, or was passed already. Empty: it does not. */
  readonly routeEnd: "" | "no-route" | "silent" | "loop";
  readonly control: Series;
}

/** Between two rounds of probes. */
const INTERVAL_MS = 200;
const ANSWER_MS = 2_000;
const HOPS_MAX = 32;
/** Each costs a few packets in each round. */
const AT_ONCE_MAX = 16;
/** Of a probe behind its Ethernet header (native/bpf/maps.h). */
const PROBE_BYTES_MIN = 8;
const NOTHING = new Uint8Array(0);

export class PeerPing implements GossipHandler {
  readonly #ports: PeerPingPorts;
  readonly #gossip: Gossip;
  readonly #waiting = new Map<number, { readonly peer: PeerName; told(tell: Tell): void }>();
  #token = 0;
  #running = 0;

  constructor(ports: PeerPingPorts) {
    this.#ports = ports;
    this.#gossip = ports.channel(this);
  }

  /** `count` rounds. When `signal` fires, those that were not begun are left out.
   *  @throws {UserError} too many at once, or there can be no probe of this size */
  async ping(peer: PeerName, count: number, signal: AbortSignal, sizeBytes?: number): Promise<PingResult> {
    if (sizeBytes !== undefined) this.#checkSize(peer, sizeBytes);
    if (this.#running >= AT_ONCE_MAX) {
      throw new UserError("unavailable", `${AT_ONCE_MAX} pings are under way already`, "try again when they have ended");
    }
    this.#running++;
    try {
      const status = this.#ports.pathOf(peer);
      const [measured, traced] = await Promise.all([this.#measure(peer, count, signal, sizeBytes), this.#trace(peer)]);
      const paths = (status?.alternatives ?? []).map((path): PingedPath => {
        const inUse = path.transport === status?.transport && path.encrypted === status.encrypted;
        return { ...path, inUse, series: measured.byKind.get(kindOf(path)) };
      });
      return { paths, ...traced, control: measured.control };
    } finally {
      this.#running--;
    }
  }

  #checkSize(peer: PeerName, sizeBytes: number): void {
    const largest = this.#ports.largestBytes(peer);
    if (largest === undefined) {
      throw new UserError(
        "bad-request",
        "a probe's size can be chosen only for a neighbour, and this peer is further away",
        "leave out --size, and ping each hop from the host before it",
      );
    }
    if (sizeBytes >= PROBE_BYTES_MIN && sizeBytes <= largest) return;
    throw new UserError(
      "bad-request",
      sizeBytes < PROBE_BYTES_MIN
        ? `a probe cannot have ${sizeBytes} bytes: what it tells needs ${PROBE_BYTES_MIN}`
        : `a probe cannot have ${sizeBytes} bytes: the overlay's packets between these hosts have at most ${largest}`,
      `use --size ${PROBE_BYTES_MIN} to ${largest}`,
    );
  }

  async #measure(peer: PeerName, count: number, signal: AbortSignal, sizeBytes: number | undefined) {
    const { clock } = this.#ports;
    const control = new Samples();
    const byKind = new Map<PathKind, Samples>();
    const rounds: Promise<unknown>[] = [];
    for (let round = 0; round < count && !signal.aborted; round++) {
      if (round > 0) await pause(clock, INTERVAL_MS);
      rounds.push(control.take(this.#ask(peer, peer).then((answer) => answer?.rttMs)));
      for (const path of this.#ports.probeable(peer)) {
        const samples = byKind.get(path.kind) ?? new Samples();
        byKind.set(path.kind, samples);
        rounds.push(samples.take(this.#ports.probe(peer, path, ANSWER_MS, sizeBytes)));
      }
    }
    await Promise.all(rounds);
    return { control, byKind };
  }

  async #trace(destination: PeerName): Promise<Pick<PingResult, "route" | "routeEnd">> {
    const route: Hop[] = [];
    let at = this.#ports.self;
    while (at !== destination) {
      const answer = at === this.#ports.self ? { next: this.#nextHop(destination) } : await this.#ask(at, destination);
      if (!answer) return { route, routeEnd: "silent" };
      if (!answer.next) return { route, routeEnd: "no-route" };
      const { neighbour: to, path } = answer.next;
      if (route.length >= HOPS_MAX || to === this.#ports.self || route.some((hop) => hop.to === to)) {
        return { route, routeEnd: "loop" };
      }
      route.push({ from: at, to, path });
      at = to;
    }
    return { route, routeEnd: "" };
  }

  #nextHop(destination: PeerName): Tell["next"] {
    const neighbour = this.#ports.routes().unicast.get(destination);
    const status = neighbour === undefined ? undefined : this.#ports.pathOf(neighbour);
    if (neighbour === undefined || !status) return undefined;
    const { transport, encrypted, mtuBytes, rttMs } = status;
    return { neighbour, path: { transport, encrypted, mtuBytes, rttMs } };
  }

  /** Over control connections, by whatever way. */
  async #ask(peer: PeerName, destination: PeerName): Promise<(Tell & { readonly rttMs: number }) | undefined> {
    const { clock } = this.#ports;
    const token = this.#token++ % 2 ** 32;
    const answer = Promise.withResolvers<Tell | undefined>();
    const sentAt = clock.now();
    this.#waiting.set(token, { peer, told: answer.resolve });
    using _timer = clock.after(ANSWER_MS, () => answer.resolve(undefined));
    if (!this.#gossip.unicast(peer, encodeHopMessage({ type: "ask", token, destination }))) answer.resolve(undefined);
    const tell = await answer.promise;
    this.#waiting.delete(token);
    return tell && { ...tell, rttMs: clock.now() - sentAt };
  }

  // The gossip channel: only unicasts, no state

  received(from: PeerName, payload: Uint8Array): void {
    const message = decodeHopMessage(payload);
    if (message?.type === "ask") {
      const next = message.destination === this.#ports.self ? undefined : this.#nextHop(message.destination);
      this.#gossip.unicast(from, encodeHopMessage({ type: "tell", token: message.token, next }));
    } else if (message) {
      const waiting = this.#waiting.get(message.token);
      if (waiting?.peer === from) waiting.told(message);
    }
  }
  merge(): undefined {}
  digest(): Uint8Array {
    return NOTHING;
  }
  missing(): undefined {}
}

class Samples implements Series {
  sent = 0;
  readonly rttsMs: number[] = [];

  async take(rtt: Promise<number | undefined>): Promise<void> {
    this.sent++;
    const rttMs = await rtt;
    if (rttMs !== undefined) this.rttsMs.push(rttMs);
  }
}

function kindOf({ transport, encrypted }: { readonly transport: "fastdp" | "sleeve"; readonly encrypted: boolean }): PathKind {
  if (transport === "sleeve") return "sleeve";
  return encrypted ? "wireguard" : "fastdp";
}

function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}
