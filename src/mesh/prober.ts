// SPDX-License-Identifier: Apache-2.0
// Is it there? One neighbour asked by one kind of probe (path probes, or pings on the control connection).
//
//              answered                    no answer for firstWaitMs
//   seeking ────────────▶ watching ──check──▶ asked ──────────────────▶ missing ──silent for deadMs──▶ seeking (dead)
//                            ▲                  │ answered                 │ answered
//                            └──────────────────┴──────────────────────────┘
// A wait that ends late says that we slept, not that the neighbour did: the count begins anew.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { Doubt } from "./doubt.ts";
import type { ProbeManner } from "./ports.ts";

export interface ProbeTimes {
  /** Patience with the first probe of a check; never less than three smoothed round trips. Longer than an answer to a calm one may take to be told. */
  readonly firstWaitMs: number;
  /** Between the probes that follow. */
  readonly gapMs: number;
  /** Silence after the first unanswered probe that means dead. */
  readonly deadMs: number;
  /** Pauses between probes while seeking; the last one repeats. */
  readonly seekMs: readonly number[];
}

// 9 more probes in 0.9 s: with a tenth of all datagrams lost each way, one check in 16 million finds none answered.
export const PATH_TIMES: ProbeTimes = {
  firstWaitMs: 250,
  gapMs: 75,
  deadMs: 900,
  seekMs: [2, 3, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000],
};
export const PING_TIMES: ProbeTimes = { firstWaitMs: 1000, gapMs: 1000, deadMs: 3000, seekMs: [1000] };
/** Unanswered probes before others are asked to look too. */
const SUSPECT_AFTER = 3;

export interface ProbePorts {
  send(manner: ProbeManner): void;
  /** It answered while we were seeking. */
  found(): void;
  /** It may be dead: several probes were not answered. */
  suspected(): void;
  dead(): void;
}

type State =
  | { readonly is: "stopped" }
  | { readonly is: "seeking"; tries: number }
  | { readonly is: "watching" }
  | { readonly is: "asked"; unanswered: number; since: Instant };

export class Prober {
  readonly #clock: Clock;
  readonly #doubt: Doubt;
  readonly #times: ProbeTimes;
  readonly #ports: ProbePorts;
  #state: State = { is: "stopped" };
  #timer: Disposable | undefined;
  #rttMs = 0;

  constructor(clock: Clock, doubt: Doubt, times: ProbeTimes, ports: ProbePorts) {
    this.#clock = clock;
    this.#doubt = doubt;
    this.#times = times;
    this.#ports = ports;
  }

  /** Probes at once and then ever more slowly until an answer comes. */
  seek(): void {
    this.#become({ is: "seeking", tries: 0 });
    this.#seekOn();
  }
  /** Takes it for alive until a check says otherwise. */
  watch(): void {
    this.#become({ is: "watching" });
  }
  stop(): void {
    this.#become({ is: "stopped" });
  }
  get isMissing(): boolean {
    return this.#state.is === "asked" && this.#state.unanswered > 1;
  }

  /** Asks a watched neighbour. `urgent`: there is a reason to fear for it, so the first answer gets no extra patience. */
  check(manner: ProbeManner = "calm"): void {
    if (this.#state.is === "seeking" && manner === "urgent") {
      this.seek();
      return;
    }
    if (this.#state.is !== "watching") return;
    this.#become({ is: "asked", unanswered: 1, since: this.#clock.now() });
    const patienceMs = manner === "urgent" ? this.#times.gapMs : this.#times.firstWaitMs;
    this.#wait(Math.max(patienceMs, 3 * this.#rttMs), () => this.#missed());
    this.#ports.send(manner);
  }

  /** `rttMs`: smoothed, for patience. */
  answered(rttMs: number): void {
    this.#rttMs = rttMs;
    this.#doubt.answered();
    const before = this.#state.is;
    if (before === "stopped" || before === "watching") return;
    this.#become({ is: "watching" });
    if (before === "seeking") this.#ports.found();
  }

  #become(state: State): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#doubt.noteMissing(this, undefined);
    this.#state = state;
  }

  #wait(ms: number, then: () => void): void {
    const due = this.#clock.now() + ms;
    this.#timer = this.#clock.after(ms, () => {
      this.#doubt.noteLateness(this.#clock.now() - due);
      then();
    });
  }

  #seekOn(): void {
    if (this.#state.is !== "seeking") return;
    const pauses = this.#times.seekMs;
    const pauseMs = pauses[Math.min(this.#state.tries++, pauses.length - 1)]!;
    this.#wait(Math.max(pauseMs, this.#state.tries > 4 ? this.#rttMs : 0), () => this.#seekOn());
    this.#ports.send("urgent");
  }

  #missed(): void {
    const state = this.#state;
    if (state.is !== "asked") return;
    const now = this.#clock.now();
    if (this.#doubt.explains(state.since)) {
      state.since = now;
      state.unanswered = 0;
    }
    this.#doubt.noteMissing(this, state.since);
    const deadMs = Math.max(this.#times.deadMs, 4 * this.#rttMs) * this.#doubt.patience();
    if (state.unanswered > SUSPECT_AFTER && now - state.since >= deadMs) {
      const seeking: State = { is: "seeking", tries: 0 };
      this.#become(seeking);
      // First: a probe may be answered at once, while it is sent, and what is found after death has to be told after it.
      this.#ports.dead();
      if (this.#state === seeking && seeking.tries === 0) this.#seekOn();
      return;
    }
    state.unanswered++;
    this.#wait(Math.max(this.#times.gapMs, this.#rttMs / 2), () => this.#missed());
    this.#ports.send("urgent");
    if (state.unanswered === SUSPECT_AFTER) this.#ports.suspected();
  }
}
