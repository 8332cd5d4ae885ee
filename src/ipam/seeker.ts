// SPDX-License-Identifier: Apache-2.0
// Looks for space in a range among the peers that own some of it: one is asked at a time, those with much space first, chance decides between
// equals; the ones that refuse or are silent are left out until all have been asked. The second round asks for addresses in quarantine too.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import type { Range } from "./range.ts";
import { type Segments, sharesOf, within } from "./ring.ts";

/** An answer is not awaited longer. */
const ANSWER_MS = 1_500;
/** Those who were silent or unreachable are asked again after that. */
const AGAIN_MS = 2_000;

export interface SeekerPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly self: PeerName;
  segments(): Segments;
  /** False: there is no route to it. */
  ask(peer: PeerName, token: number, range: Range, urgent: boolean, exact: boolean): boolean;
  /** Nobody is asked any more for now: `silent` are those who did not answer; none: all have refused. */
  exhausted(range: Range, silent: readonly PeerName[]): void;
  /** The search has come to the addresses in quarantine: ours will do too now. */
  urgent(range: Range): void;
}

interface Search {
  readonly range: Range;
  readonly exact: boolean;
  urgent: boolean;
  readonly refused: Set<PeerName>;
  readonly silent: Set<PeerName>;
  asked: { readonly peer: PeerName; readonly token: number } | undefined;
  timer: Disposable | undefined;
}

export class Seeker implements Disposable {
  readonly #ports: SeekerPorts;
  readonly #searches = new Map<string, Search>();
  #token = 0;

  constructor(ports: SeekerPorts) {
    this.#ports = ports;
  }

  /** Begins, or goes on with, the search in `range`. `exact`: it is one address that somebody has asked for. */
  seek(range: Range, exact: boolean): void {
    const key = keyOf(range);
    if (this.#searches.has(key)) return;
    const search: Search = {
      range,
      exact,
      urgent: exact,
      refused: new Set(),
      silent: new Set(),
      asked: undefined,
      timer: undefined,
    };
    this.#searches.set(key, search);
    this.#next(search);
  }

  isUrgent(range: Range): boolean {
    return this.#searches.get(keyOf(range))?.urgent ?? false;
  }

  /** Whom we wait for: the one who was asked, and those who did not answer. */
  waitingFor(range: Range): readonly PeerName[] {
    const search = this.#searches.get(keyOf(range));
    if (!search) return [];
    return [...new Set([...(search.asked ? [search.asked.peer] : []), ...search.silent])];
  }

  /** The answer to what we asked with `token` has come; the range it was about. undefined: it is not one we wait for. */
  answered(from: PeerName, token: number): Range | undefined {
    for (const search of this.#searches.values()) {
      if (search.asked?.token !== token || search.asked.peer !== from) continue;
      this.#disarm(search);
      return search.range;
    }
    return undefined;
  }

  /** `peer` has nothing to give in `range`. */
  refused(peer: PeerName, range: Range): void {
    const search = this.#searches.get(keyOf(range));
    if (!search) return;
    search.refused.add(peer);
    search.silent.delete(peer);
    this.#next(search);
  }

  /** The search is over: nobody needs it any more, or space has come. */
  end(range: Range): void {
    const search = this.#searches.get(keyOf(range));
    if (search) this.#disarm(search);
    this.#searches.delete(keyOf(range));
  }

  [Symbol.dispose](): void {
    for (const search of this.#searches.values()) this.#disarm(search);
    this.#searches.clear();
  }

  #next(search: Search): void {
    if (search.asked || search.timer) return;
    for (let owner = this.#candidate(search); owner !== undefined; owner = this.#candidate(search)) {
      if (this.#ask(search, owner)) return;
      search.silent.add(owner);
    }
    if (!search.urgent) {
      search.urgent = true;
      search.refused.clear();
      this.#ports.urgent(search.range);
      if (this.#searches.get(keyOf(search.range)) === search) this.#next(search);
      return;
    }
    const silent = [...search.silent];
    if (silent.length > 0) this.#again(search);
    this.#ports.exhausted(search.range, silent);
  }

  #again(search: Search): void {
    search.timer = this.#ports.clock.after(AGAIN_MS, () => {
      search.timer = undefined;
      search.silent.clear();
      search.refused.clear();
      this.#next(search);
    });
  }

  #candidate({ range, refused, silent }: Search): PeerName | undefined {
    let best: PeerName | undefined;
    let bestWeight = -1;
    for (const [owner, share] of sharesOf(within(this.#ports.segments(), range))) {
      if (owner === this.#ports.self || refused.has(owner) || silent.has(owner)) continue;
      const weight = share * (1 + this.#ports.random.below(1000));
      if (weight > bestWeight) {
        best = owner;
        bestWeight = weight;
      }
    }
    return best;
  }

  #ask(search: Search, peer: PeerName): boolean {
    const token = this.#token;
    this.#token = (this.#token + 1) % 2 ** 32;
    search.asked = { peer, token };
    search.timer = this.#ports.clock.after(ANSWER_MS, () => {
      this.#disarm(search);
      search.silent.add(peer);
      this.#next(search);
    });
    if (this.#ports.ask(peer, token, search.range, search.urgent, search.exact)) return true;
    this.#disarm(search);
    return false;
  }

  #disarm(search: Search): void {
    search.timer?.[Symbol.dispose]();
    search.timer = undefined;
    search.asked = undefined;
  }
}

function keyOf(range: Range): string {
  return `${range.start}-${range.end}`;
}
