// SPDX-License-Identifier: Apache-2.0
// What an operator should know although everything runs, for the top of `weave status`: neighbours to which no frame can go, and a firewall
// of the host that drops frames between containers.
import type { ConnectionStatus } from "../api/status.ts";
import { chainsAgainst } from "../host/bridge-filter.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

/** A connection may take that long to find its data path. */
const PATIENCE_MS = 10_000;
const NAMED_MAX = 3;
/** Others change the firewall at any time; looking takes a few milliseconds. */
const LOOK_MS = 60_000;

/** One sentence for each reason for which no frame goes to neighbours whose control connection stands. */
export function dataPathWarnings(connections: readonly ConnectionStatus[], nowMs: number): string[] {
  const byReason = new Map<string, string[]>();
  for (const { state, peer, reason, sinceMs } of connections) {
    if (state !== "pending" || peer === null || reason === "" || nowMs - sinceMs < PATIENCE_MS) continue;
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

/** Looks at the host's firewall now and then. */
export class FilterWatch implements Disposable {
  readonly #bridge: string;
  readonly #log: Log;
  readonly #timer: Disposable;
  #warnings: readonly string[] = [];

  constructor(bridge: string, ports: { readonly clock: Clock; readonly log: Log }) {
    this.#bridge = bridge;
    this.#log = ports.log;
    this.#timer = every(ports.clock, LOOK_MS, () => void this.look());
  }
  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  warnings(): readonly string[] {
    return this.#warnings;
  }

  /** Never fails: what cannot be looked at is nothing to warn of. */
  async look(): Promise<void> {
    const before = this.#warnings;
    try {
      this.#warnings = (await chainsAgainst(this.#bridge)).map((chain) => filterWarning(chain, this.#bridge));
    } catch (thrown) {
      this.#log.debug("cannot look at the firewall", { reason: errorText(thrown) });
    }
    for (const warning of this.#warnings) if (!before.includes(warning)) this.#log.warn("firewall", { reason: warning });
  }
}
