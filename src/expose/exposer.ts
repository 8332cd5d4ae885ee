// SPDX-License-Identifier: Apache-2.0
// Giving the host itself addresses on the bridge, with masquerading unless told otherwise, and taking them away. The choice is part of the record,
// so it survives restarts and firewall flushes. One operation at a time; the API and the reconciler call it.

import { parseAddressRequests } from "../attach/address.ts";
import { isMeant } from "../attach/addresses.ts";
import type { Addresses, HostRoutes } from "../attach/ports.ts";
import { planFirewall } from "../firewall/plan.ts";
import { type Cidr, formatCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import { errorText, InvariantError, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { type BridgeInterface, EXPOSE_OWNER, type Exposure, type ExposureJournal, type Firewall } from "./exposure.ts";

export interface ExposeRequest {
  /** As typed, see `attach/address.ts`. */
  readonly addresses: readonly string[];
  /** Default true. */
  readonly masquerade?: boolean;
}
export interface ExposeResult {
  readonly addresses: readonly Ip[];
  readonly warnings: readonly string[];
}
export interface HideRequest {
  /** Empty: all. `net:A.B.C.D/len`: those in that subnet. */
  readonly addresses: readonly string[];
}

export interface ExposerPorts {
  readonly journal: ExposureJournal;
  readonly bridge: BridgeInterface;
  readonly firewall: Firewall;
  readonly hostRoutes: HostRoutes;
  readonly addresses: Addresses;
  /** Who on this host is attached with this address. */
  readonly holderOf: (ip: Ip) => string | undefined;
  readonly log: Log;
  /** Called before each step; a test stops the process there. */
  readonly onStep?: (step: string) => void;
}

export class Exposer {
  readonly #ports: ExposerPorts;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(ports: ExposerPorts) {
    this.#ports = ports;
  }

  /** Idempotent; exposing again with the other choice of masquerading changes just that.
   *  @throws {UserError} bad-request, conflict (overlap with a host route, address in use), unavailable. Nothing is left half done */
  expose(request: ExposeRequest, signal?: AbortSignal): Promise<ExposeResult> {
    return this.#inTurn(() => this.#expose(request, signal));
  }

  /** What is not exposed is no error. Returns the addresses taken away. */
  hide(request: HideRequest): Promise<{ readonly addresses: readonly Ip[] }> {
    return this.#inTurn(() => this.#hide(request));
  }

  /** First line of `weave ps`. */
  list(): {
    readonly owner: string;
    readonly mac: Mac | undefined;
    readonly addresses: readonly Cidr[];
    readonly exposures: readonly Exposure[];
  } {
    const exposures = this.#ports.journal.exposures().filter((one) => one.state === "exposed");
    return { owner: EXPOSE_OWNER, mac: this.#ports.bridge.mac(), addresses: exposures.map((one) => one.cidr), exposures };
  }

  /** Whether the host has, or is about to have, this address on the bridge. */
  holds(ip: Ip): boolean {
    return this.#ports.journal.exposures().some((one) => one.cidr.address === ip);
  }

  /** Makes bridge and firewall agree with the records. Returns what was repaired. */
  reconcile(): Promise<readonly string[]> {
    return this.#inTurn(async () => {
      const repairs: string[] = [];
      for (const one of this.#ports.journal.exposures()) {
        if (one.state === "exposed") repairs.push(...this.#ports.bridge.ensureAddress(one.cidr));
        else {
          this.#ports.bridge.removeAddress(one.cidr);
          this.#ports.journal.drop(one.cidr.address);
          repairs.push(`${formatCidr(one.cidr)}: unfinished work of an earlier run undone`);
        }
      }
      return [...repairs, ...(await this.#applyFirewall())];
    });
  }

  async #expose(request: ExposeRequest, signal: AbortSignal | undefined): Promise<ExposeResult> {
    const masquerade = request.masquerade ?? true;
    const cidrs = await this.#ports.addresses.claim(EXPOSE_OWNER, parseAddressRequests(request.addresses), signal);
    const before = this.#ports.journal.exposures();
    try {
      for (const cidr of cidrs) this.#check(cidr, before);
    } catch (thrown) {
      const unheld = cidrs.filter((cidr) => !before.some((one) => one.cidr.address === cidr.address));
      await this.#ports.addresses.release(EXPOSE_OWNER, unheld);
      throw thrown;
    }
    const known = new Set(before.map((one) => one.cidr.address));
    const added = cidrs.filter((cidr) => !known.has(cidr.address));
    try {
      await this.#make(cidrs, added, masquerade);
    } catch (thrown) {
      await this.#restore(before, added);
      throw explain(thrown);
    }
    if (added.length > 0) {
      this.#ports.log.info("exposed", { address: added.map(formatCidr).join(" "), masquerade });
      this.#ports.bridge.announce(added);
    }
    return { addresses: cidrs.map((cidr) => cidr.address), warnings: added.length > 0 ? await this.#forwardWarnings() : [] };
  }

  async #make(cidrs: readonly Cidr[], added: readonly Cidr[], masquerade: boolean): Promise<void> {
    const { journal, bridge } = this.#ports;
    const isNew = new Set(added);
    this.#step("journal");
    for (const cidr of cidrs) journal.put({ cidr, masquerade, state: isNew.has(cidr) ? "exposing" : "exposed" });
    this.#step("address");
    for (const cidr of cidrs) bridge.ensureAddress(cidr);
    this.#step("firewall");
    await this.#applyFirewall();
    this.#step("journal done");
    for (const cidr of added) journal.put({ cidr, masquerade, state: "exposed" });
  }

  async #restore(before: readonly Exposure[], added: readonly Cidr[]): Promise<void> {
    const { journal, bridge, addresses, log } = this.#ports;
    try {
      for (const one of before) journal.put(one);
      for (const cidr of added) {
        bridge.removeAddress(cidr);
        journal.drop(cidr.address);
      }
      await this.#applyFirewall();
      await addresses.release(EXPOSE_OWNER, added);
    } catch (thrown) {
      // The records still say `exposing`, so the next reconciliation undoes what is left; the first error is the one to tell.
      log.warn("undoing a failed expose failed too", { reason: errorText(thrown) });
    }
  }

  async #hide(request: HideRequest): Promise<{ readonly addresses: readonly Ip[] }> {
    const { journal, bridge, addresses, log } = this.#ports;
    const requests = request.addresses.length === 0 ? undefined : parseAddressRequests(request.addresses);
    const gone = journal
      .exposures()
      .filter((one) => !requests || requests.some((wanted) => isMeant(wanted, one.cidr, addresses.defaultSubnets())));
    if (gone.length === 0) return { addresses: [] };
    this.#step("journal");
    for (const one of gone) journal.put({ ...one, state: "hiding" });
    this.#step("address");
    for (const one of gone) bridge.removeAddress(one.cidr);
    this.#step("firewall");
    await this.#applyFirewall();
    this.#step("journal drop");
    for (const one of gone) journal.drop(one.cidr.address);
    const cidrs = gone.map((one) => one.cidr);
    log.info("hidden", { address: cidrs.map(formatCidr).join(" ") });
    await addresses.release(EXPOSE_OWNER, cidrs);
    return { addresses: cidrs.map((cidr) => cidr.address) };
  }

  #applyFirewall(): Promise<readonly string[]> {
    const wanted = this.#ports.journal.exposures().filter((one) => one.state !== "hiding");
    return this.#ports.firewall.apply(planFirewall(wanted, this.#ports.bridge.name));
  }

  #check(cidr: Cidr, before: readonly Exposure[]): void {
    const cannot = `cannot expose ${formatCidr(cidr)}`;
    const same = before.find((one) => one.cidr.address === cidr.address);
    if (same && same.cidr.prefixLength !== cidr.prefixLength) {
      throw new UserError(
        "conflict",
        `${cannot}: it is exposed already, as ${formatCidr(same.cidr)}`,
        "hide it first to change its prefix length",
      );
    }
    if (same) return;
    const holder = this.#ports.holderOf(cidr.address);
    if (holder)
      throw new UserError("conflict", `${cannot}: the address is held by ${holder} on this host`, "choose another address");
    const route = this.#ports.hostRoutes.overlapping(cidr);
    if (!route) return;
    throw new UserError(
      "conflict",
      `${cannot}: it overlaps with this host's route ${formatCidr(route.destination)} on '${route.device}'`,
      "choose a subnet that the host does not reach otherwise",
    );
  }

  async #forwardWarnings(): Promise<readonly string[]> {
    const chains = await this.#ports.firewall.droppingChains();
    return chains.map(
      (chain) =>
        `the firewall chain '${chain}' drops what this host forwards, so others reach containers only from this host itself; ` +
        `to allow it: nft insert rule ${chain} oifname "${this.#ports.bridge.name}" accept (and iifname for the other direction)`,
    );
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined); // whoever asked gets the error; the next one starts anyway
    return result;
  }

  #step(step: string): void {
    this.#ports.onStep?.(step);
  }
}

function explain(thrown: unknown): unknown {
  if (thrown instanceof UserError || thrown instanceof InvariantError) return thrown;
  return new UserError("internal", `cannot expose: ${errorText(thrown)}`, "nothing was left behind; see the log of weave", {
    cause: thrown,
  });
}
