// SPDX-License-Identifier: Apache-2.0
// What an operator should know although everything runs, for the top of `weave status`: neighbours to which no frame can go, or only over
// another than the best path, and a firewall of the host that drops frames between containers. Warnings are of what somebody should mend;
// notes tell of what these hosts do not have.
import { chainsAgainst } from "../host/bridge-filter.ts";
import type { PathStatus } from "../overlay/path-status.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { errorText, InvariantError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

/** A connection may take that long to find its data path. */
const PATIENCE_MS = 10_000;
/** A path that is worth having is tried again within that time, so what lasts longer has a cause. */
const SECOND_BEST_MS = 60_000;
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
  readonly path?: PathStatus | null | undefined;
}

/** One sentence for each reason for which no frame goes to neighbours whose control connection stands. */
export function dataPathWarnings(connections: readonly Connection[], nowMs: number): string[] {
  const silent = connections.filter(
    ({ state, reason, sinceMs }) => state === "pending" && reason !== "" && nowMs - sinceMs >= PATIENCE_MS,
  );
  return byReason(silent, ({ reason }) => reason)
    .map(({ key, names }) => `no data path to ${names}: ${key}`)
    .sort();
}

/** One sentence for each reason for which frames to neighbours have not gone over the best path for a while. `hindered`: there is a better
 *  one, which does not answer. `lacking`: one of the two hosts does not have it. */
export function secondBest(connections: readonly Connection[], nowMs: number): { hindered: string[]; lacking: string[] } {
  const late = connections.filter(
    ({ state, path }) => state === "established" && path && path.reason !== "" && nowMs - path.sinceMs >= SECOND_BEST_MS,
  );
  const sentences = (which: readonly Connection[]) =>
    byReason(which, ({ path }) => `over ${path?.transport}, which is not the best path: ${path?.reason}`)
      .map(({ key, names }) => `data to ${names} goes ${key}`)
      .sort();
  return { hindered: sentences(late.filter(isHindered)), lacking: sentences(late.filter((one) => !isHindered(one))) };
}

function isHindered({ path }: Connection): boolean {
  return path?.alternatives.some(({ state }) => state === "down" || state === "probing") === true;
}

/** @param missing why WireGuard cannot be used; undefined: it can, or need not */
export function wireguardNotes(missing: string | undefined): string[] {
  if (missing === undefined) return [];
  return [`data that must be encrypted goes over sleeve, which costs more CPU than WireGuard: ${missing}`];
}

/** Nicknames of those with an equal key. */
function byReason(
  connections: readonly Connection[],
  keyOf: (connection: Connection) => string,
): { key: string; names: string }[] {
  const found = new Map<string, string[]>();
  for (const connection of connections) {
    if (!connection.peer) continue;
    const key = keyOf(connection);
    found.set(key, [...(found.get(key) ?? []), connection.peer.nickname]);
  }
  return [...found].map(([key, names]) => ({ key, names: namesText(names) }));
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

export interface HealthOptions {
  readonly bridge: string;
  connections(): readonly Connection[];
  /** Why WireGuard cannot be used, when data must be encrypted; undefined otherwise. */
  wireguardMissing(): string | undefined;
}

/** Looks now and then, and logs what is new. */
export class HealthWatch implements Disposable {
  readonly #options: HealthOptions;
  readonly #ports: { readonly clock: Clock; readonly log: Log };
  readonly #timer: Disposable;
  #filters: readonly string[] = [];
  #logged: ReadonlySet<string> = new Set();

  constructor(options: HealthOptions, ports: { readonly clock: Clock; readonly log: Log }) {
    this.#options = options;
    this.#ports = ports;
    this.#timer = every(ports.clock, LOOK_MS, () => void this.look());
  }
  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  /** As of now; of the firewall as of the last look. */
  warnings(): readonly string[] {
    const connections = this.#options.connections();
    const nowMs = this.#ports.clock.wallMs();
    return [...this.#filters, ...dataPathWarnings(connections, nowMs), ...secondBest(connections, nowMs).hindered];
  }

  /** As of now. */
  notes(): readonly string[] {
    const missing = this.#options.wireguardMissing();
    // Then every connection lacks it for the one reason that is told already.
    if (missing !== undefined) return wireguardNotes(missing);
    return secondBest(this.#options.connections(), this.#ports.clock.wallMs()).lacking;
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
    const [warnings, notes] = [this.warnings(), this.notes()];
    for (const reason of warnings) if (!this.#logged.has(reason)) log.warn("something is wrong", { reason });
    for (const reason of notes) if (!this.#logged.has(reason)) log.info("something is missing", { reason });
    this.#logged = new Set([...warnings, ...notes]);
  }
}
