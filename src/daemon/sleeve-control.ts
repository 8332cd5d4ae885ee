// SPDX-License-Identifier: Apache-2.0
// The sleeve as the overlay knows it: started when the first session is opened, because most hosts never need it; started anew when it
// fails, with a pause that grows. What is asked of it while it starts waits in order.
import type { SleeveCounts, SleeveFigures } from "../host/sleeve-messages.ts";
import type { SleeveTotals } from "../metrics/transport-stats.ts";
import type { Ip } from "../net/ip.ts";
import type { SleeveCarrier, SleeveCipher, SleeveSession } from "../overlay/carriers.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

/** A running sleeve, as this file needs it; `host/sleeve.ts` fits. */
export interface RunningSleeve extends AsyncDisposable {
  figures(): Promise<SleeveFigures | undefined>;
  openSession(session: SleeveSession): void;
  closeSession(localIndex: number): void;
}
export interface SleeveNews {
  /** Inner IP packet that fits into one datagram of this session. */
  mtu(localIndex: number, bytes: number): void;
  moved(localIndex: number, address: Ip, port: number): void;
  failed(reason: string): void;
}
export interface SleeveControlPorts {
  readonly clock: Clock;
  readonly log: Log;
  start(news: SleeveNews): Promise<RunningSleeve>;
  mtu(session: SleeveSession, bytes: number): void;
  /** All sessions are gone; they may be opened again, with other keys. */
  lost(reason: string): void;
}

const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 30_000;

type State<Running> =
  | { readonly is: "off" }
  | { readonly is: "starting" | "pausing"; readonly waiting: ((sleeve: Running) => void)[] }
  | { readonly is: "on"; readonly sleeve: Running };

export class SleeveControl implements SleeveCarrier, AsyncDisposable {
  readonly ciphers: readonly SleeveCipher[];
  readonly #ports: SleeveControlPorts;
  readonly #sessions = new Map<number, SleeveSession>();
  #state: State<RunningSleeve> = { is: "off" };
  #pauseMs = PAUSE_FIRST_MS;
  #pause: Disposable | undefined;
  #isOver = false;

  constructor(ciphers: readonly SleeveCipher[], ports: SleeveControlPorts) {
    this.ciphers = ciphers;
    this.#ports = ports;
  }

  openSession(session: SleeveSession): void {
    this.#sessions.set(session.localIndex, session);
    this.#when((sleeve) => {
      if (this.#sessions.get(session.localIndex) === session) sleeve.openSession(session);
    });
  }
  closeSession(localIndex: number): void {
    if (!this.#sessions.delete(localIndex)) return;
    if (this.#state.is === "on") this.#state.sleeve.closeSession(localIndex);
  }
  /** What it has counted since it was started last; undefined: it does not run. */
  async totals(): Promise<SleeveTotals | undefined> {
    const figures = this.#state.is === "on" ? await this.#state.sleeve.figures() : undefined;
    if (!figures) return undefined;
    const { captured, injected, drops, sessions, closed } = figures;
    const total = (count: keyof SleeveCounts) => sessions.reduce((sum, session) => sum + session[count], closed[count]);
    const ciphers: Record<string, number> = {};
    for (const { cipher } of sessions) ciphers[cipher] = (ciphers[cipher] ?? 0) + 1;
    return {
      sent: { frames: captured, datagrams: total("sent"), bytes: total("sentBytes") },
      received: { frames: injected, datagrams: total("received"), bytes: total("receivedBytes") },
      drops: Object.fromEntries(Object.entries(drops).map(([reason, count]) => [inKebabCase(reason), count])),
      rekeys: total("rekeys"),
      sessions: ciphers,
      offloads: { "udp-gso": sessions.every(({ segments }) => segments) },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.#pause?.[Symbol.dispose]();
    const running = this.#state.is === "on" ? this.#state.sleeve : undefined;
    this.#state = { is: "off" };
    await running?.[Symbol.asyncDispose]();
  }

  #when(act: (sleeve: RunningSleeve) => void): void {
    if (this.#state.is === "on") act(this.#state.sleeve);
    else if (this.#state.is === "off") this.#start([act]);
    else this.#state.waiting.push(act);
  }

  #start(waiting: ((sleeve: RunningSleeve) => void)[]): void {
    this.#state = { is: "starting", waiting };
    this.#ports
      .start({
        mtu: (localIndex, bytes) => {
          const session = this.#sessions.get(localIndex);
          if (session) this.#ports.mtu(session, bytes);
        },
        moved: (localIndex, address, port) =>
          this.#ports.log.debug("sleeve peer moved", { neighbour: this.#sessions.get(localIndex)?.neighbour, address, port }),
        failed: (reason) => void this.#failed(reason),
      })
      .then(
        (sleeve) => this.#started(sleeve, waiting),
        (thrown: unknown) => void this.#failed(errorText(thrown)),
      );
  }
  #started(sleeve: RunningSleeve, waiting: readonly ((sleeve: RunningSleeve) => void)[]): void {
    if (this.#isOver) {
      void sleeve[Symbol.asyncDispose]();
      return;
    }
    this.#state = { is: "on", sleeve };
    this.#pauseMs = PAUSE_FIRST_MS;
    for (const act of waiting) act(sleeve);
  }

  /** Keys and counters are lost with it, so sessions are not carried over: both ends make new ones. */
  async #failed(reason: string): Promise<void> {
    if (this.#isOver) return;
    this.#ports.log.error("the sleeve failed", { reason });
    const running = this.#state.is === "on" ? this.#state.sleeve : undefined;
    const waiting: ((sleeve: RunningSleeve) => void)[] = [];
    this.#state = { is: "pausing", waiting };
    this.#sessions.clear();
    await running?.[Symbol.asyncDispose]();
    this.#ports.lost(`the sleeve failed: ${reason}`);
    this.#pause = this.#ports.clock.after(this.#pauseMs, () => this.#start(waiting));
    this.#pauseMs = Math.min(PAUSE_MAX_MS, this.#pauseMs * 2);
  }
}

function inKebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
