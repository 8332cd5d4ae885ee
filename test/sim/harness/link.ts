// SPDX-License-Identifier: Apache-2.0
// One authenticated control connection in the simulation, as two ends that implement the port `Link`.
import type { Hello, Link, LinkEvents } from "../../../src/mesh/ports.ts";
import type { SimHost } from "./host.ts";
import { type Network, SEAL_BYTES } from "./network.ts";

const RETRANSMIT_MS_MAX = 1_000;

type Item = { readonly bytes: Uint8Array } | { readonly close: string };

export class SimLink implements Link {
  readonly outbound: boolean;
  readonly passwordUsed: boolean;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly hello: Hello;
  readonly sentHello: Hello;
  readonly host: SimHost;
  /** The process of `host` it belongs to. */
  readonly life: number;
  other!: SimLink;
  readonly #network: Network;
  #events: LinkEvents | undefined;
  #early: Item[] = [];
  #held: Item[] = [];
  #heldBytes = 0;
  #lastArrival = 0;
  #isClosed = false;
  #waitsForHeal: Disposable | undefined;

  constructor(
    network: Network,
    host: SimHost,
    facts: {
      outbound: boolean;
      passwordUsed: boolean;
      remoteAddress: string;
      localAddress: string;
      hello: Hello;
      sentHello: Hello;
    },
  ) {
    this.#network = network;
    this.host = host;
    this.life = host.life;
    this.outbound = facts.outbound;
    this.passwordUsed = facts.passwordUsed;
    this.remoteAddress = facts.remoteAddress;
    this.localAddress = facts.localAddress;
    this.hello = facts.hello;
    this.sentHello = facts.sentHello;
    host.links.add(this);
  }

  start(events: LinkEvents): void {
    this.#events = events;
    const early = this.#early;
    this.#early = [];
    for (const item of early) this.#deliver(item);
  }
  send(message: Uint8Array): void {
    if (!this.#isClosed) this.#transmit({ bytes: message });
  }
  takeSecret(): Uint8Array | undefined {
    return undefined;
  }
  queuedBytes(): number {
    return this.#heldBytes;
  }
  refuse(reason: string): void {
    this.#end(reason);
  }
  close(): void {
    this.#end("closed by the peer");
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** This end is gone; the other learns it when the network lets it. */
  #end(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.host.links.delete(this);
    this.#transmit({ close: reason });
    if (!this.other.host.isOn) this.#forgetHeld(); // nobody is left to hear it, also when that machine comes back
  }
  #forgetHeld(): void {
    this.#waitsForHeal?.[Symbol.dispose]();
    this.#waitsForHeal = undefined;
    this.#held = [];
    this.#heldBytes = 0;
  }
  /** The process or host of this end died. `isTold`: the kernel still closes the stream. */
  die(isTold: boolean): void {
    if (this.#isClosed) return;
    this.#events = undefined;
    if (isTold) this.#end("closed by the peer");
    else {
      this.#isClosed = true;
      this.host.links.delete(this);
    }
  }

  #transmit(item: Item): void {
    const { other } = this;
    const network = this.#network;
    if (this.#held.length > 0 || !network.passes(this.host, other.host)) {
      this.#hold(item);
      return;
    }
    network.accountStream(this.host, other.host, "bytes" in item ? item.bytes.length + SEAL_BYTES : 0);
    const arrival = Math.max(this.#lastArrival, network.time.now() + network.streamDelayMs(this.host, other.host));
    this.#lastArrival = arrival;
    network.time.after(arrival - network.time.now(), () => other.#arrived(item));
  }

  #hold(item: Item): void {
    this.#held.push(item);
    if ("bytes" in item) this.#heldBytes += item.bytes.length;
    if (this.#waitsForHeal) return;
    const { time, random } = this.#network;
    const since = time.now();
    // TCP does not know that the network is back: it tries again when its timer fires, which doubles up to a second (host/tcp-stream.ts).
    this.#waitsForHeal = this.#network.whenHealed(() => {
      time.after(random.below(Math.ceil(Math.min(RETRANSMIT_MS_MAX, time.now() - since) + 1)), () => this.#flush());
    });
  }
  #flush(): void {
    if (!this.#network.passes(this.host, this.other.host)) return;
    this.#waitsForHeal?.[Symbol.dispose]();
    this.#waitsForHeal = undefined;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const item of held) this.#transmit(item);
  }

  #arrived(item: Item): void {
    if (!this.host.isOn) return;
    if (this.life !== this.host.life || this.#isClosed) {
      // The kernel answers with a reset.
      if ("bytes" in item && this.other.host.isOn)
        this.#network.time.after(0.2, () => this.other.#arrived({ close: "reset by the peer" }));
      return;
    }
    this.host.whenAwake(() => this.#deliver(item));
  }

  #deliver(item: Item): void {
    if (this.#isClosed || this.life !== this.host.life) return;
    if (!this.#events) {
      this.#early.push(item);
      return;
    }
    if ("bytes" in item) this.#events.message(item.bytes);
    else {
      this.#isClosed = true;
      this.host.links.delete(this);
      this.#events.closed(item.close);
    }
  }
}
