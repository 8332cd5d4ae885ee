// SPDX-License-Identifier: Apache-2.0
// Other bridges of this host, each joined to ours by a veth pair, so that what is plugged in there is on the network too. The record of a
// joined bridge is the operator's wish: it stays when the bridge goes, and is carried out when the bridge is there again.
import type { Mac } from "../net/mac.ts";
import { errorText, InvariantError, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { BridgeJoints, SwitchPorts } from "./ports.ts";

export interface JoinedBridgesPorts {
  readonly journal: {
    bridges(): readonly string[];
    setBridges(names: readonly string[]): void;
  };
  readonly joints: BridgeJoints;
  readonly switchPorts: SwitchPorts;
  readonly log: Log;
}

/** Who sends there is not known here, so nothing is checked. */
const UNGUARDED = { mac: undefined, addresses: [] } as const;

export class JoinedBridges {
  readonly #ports: JoinedBridgesPorts;

  constructor(ports: JoinedBridgesPorts) {
    this.#ports = ports;
  }

  list(): readonly string[] {
    return this.#ports.journal.bridges();
  }
  /** Those that are joined now, for `weave ps`. */
  present(): readonly { readonly owner: string; readonly mac: Mac }[] {
    return this.list().flatMap((name) => {
      const port = this.#ports.joints.port(name);
      return port ? [{ owner: `bridge:${name}`, mac: port.mac }] : [];
    });
  }

  /** Joining again is no error. @throws {UserError} not-found, bad-request (not a bridge, our own). Nothing is left half done */
  join(name: string): void {
    const { journal, joints, log } = this.#ports;
    joints.check(name);
    const before = journal.bridges();
    if (!before.includes(name)) journal.setBridges([...before, name]);
    try {
      if (this.#ensure(name).length > 0) log.info("bridge joined", { bridge: name });
    } catch (thrown) {
      this.#remove(name);
      journal.setBridges(before);
      throw thrown;
    }
  }

  /** @throws {UserError} not-found: it is not joined */
  leave(name: string): void {
    const { journal, log } = this.#ports;
    const before = journal.bridges();
    if (!before.includes(name)) {
      throw new UserError("not-found", `the bridge '${name}' is not attached`, `attached are: ${before.join(", ") || "none"}`);
    }
    this.#remove(name);
    journal.setBridges(before.filter((other) => other !== name));
    log.info("bridge left", { bridge: name });
  }

  /** Makes kernel and records agree; a bridge that is away is left for later. Returns what was repaired. */
  reconcile(): readonly string[] {
    return this.list().flatMap((name) => {
      try {
        return this.#ensure(name);
      } catch (thrown) {
        if (thrown instanceof InvariantError) throw thrown;
        this.#ports.log.debug("bridge cannot be joined now", { bridge: name, reason: errorText(thrown) });
        return [];
      }
    });
  }

  #ensure(name: string): readonly string[] {
    const { joints, switchPorts } = this.#ports;
    return joints.ensure(name, (ifindex) => switchPorts.attachPort(ifindex, UNGUARDED));
  }

  #remove(name: string): void {
    const { joints, switchPorts } = this.#ports;
    const port = joints.port(name);
    if (port) switchPorts.detachPort(port.ifindex);
    joints.remove(name);
  }
}
