// SPDX-License-Identifier: Apache-2.0
// What an operator should know although everything runs, for the top of `weave status`: neighbours to which no frame can go, and a firewall
// of the host that drops frames between containers.
import { chainsAgainst } from "../host/bridge-filter.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { errorText, InvariantError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

/** A connection may take that long to find its data path. */
const PATIENCE_MS = 10_000;
const NAMED_MAX = 3;
/** Others change the firewall at any time; looking takes a few milliseconds. */
const LOOK_MS = 60_000;

/** What of a connection tells whether frames can go. */
export interface Connection {
  readonly state: string;
  readonly peer?: { readonly nickname: string } | null;
  readonly reason: string;
  /** Wall clock, ms. */
  readonly sinceMs: number;
}

/** One sentence for each reason for which no frame goes to neighbours whose control connection stands. */
export function dataPathWarnings(connections: readonly Connection[], nowMs: number): string[] {
  const byReason = new Map<string, string[]>();
  for (const { state, peer, reason, sinceMs } of connections) {
    if (state !== "pending" || !peer || reason === "" || nowMs - sinceMs < PATIENCE_MS) continue;
    byReason.set(reason, [...(byReason.get(reason) ?? []), peer.nickname]);
  }
  return [...byReason].map(([reason, names]) => `no data path to ${namesText(names)}: ${reason}`).sort();
}

function namesText(names: readonly string[]): string {
  const shown = [...names].sort().slice(0, NAMED_MAX).join(", ");
  return names.length <= NAMED_MAX ? shown : `${shown} and ${names.length - NAMED_MAX} more`;
}

/** In words for the operator. @param chain such as `ip filter FORWARD` */
export function filterWarning(chain: string, bridge: string): string {
  const [family = "", table = "", name = ""] = chain.split(" ");
  const tool = { ip: "iptables", ip6: "ip6tables" }[family];
  const rule =
    tool !== undefined && table === "filter" && name === "FORWARD"
      ? `${tool} -I FORWARD -i ${bridge} -o ${bridge} -j ACCEPT`
      : `nft insert rule ${chain} iifname "${bridge}" oifname "${bridge}" accept`;
  const what = { ip: "IPv4 broadcast and multicast", ip6: "IPv6" }[family] ?? "broadcast, multicast and IPv6";
  return `the host's firewall drops ${what} between containers: its chain '${chain}' is asked about bridged packets too; to let them pass: ${rule}`;
}

/** Looks now and then, and logs what is new. */
export class HealthWatch implements Disposable {
  readonly #options: { readonly bridge: string; connections(): readonly Connection[] };
  readonly #ports: { readonly clock: Clock; readonly log: Log };
  readonly #timer: Disposable;
  #filters: readonly string[] = [];
  #logged: ReadonlySet<string> = new Set();

  constructor(
    options: { readonly bridge: string; connections(): readonly Connection[] },
    ports: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#options = options;
    this.#ports = ports;
    this.#timer = every(ports.clock, LOOK_MS, () => void this.look());
  }
  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  /** As of now; of the firewall as of the last look. */
  warnings(): readonly string[] {
    return [...this.#filters, ...dataPathWarnings(this.#options.connections(), this.#ports.clock.wallMs())];
  }

  /** Never fails: what cannot be looked at is nothing to warn of. */
  async look(): Promise<void> {
    const { bridge } = this.#options;
    const { log } = this.#ports;
    try {
      this.#filters = (await chainsAgainst(bridge)).map((chain) => filterWarning(chain, bridge));
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      log.debug("cannot look at the firewall", { reason: errorText(thrown) });
    }
    const warnings = this.warnings();
    for (const reason of warnings) if (!this.#logged.has(reason)) log.warn("something is wrong", { reason });
    this.#logged = new Set(warnings);
  }
}
