// SPDX-License-Identifier: Apache-2.0
// What the lab cannot make happen at will: a packet filter that refuses, and requests that come together.
import { beforeEach, describe, expect, test } from "bun:test";
import { explicitAddresses } from "../../../src/attach/addresses.ts";
import type { HostRoute } from "../../../src/attach/ports.ts";
import { Exposer } from "../../../src/expose/exposer.ts";
import type { BridgeInterface, Exposure, ExposureJournal, Firewall } from "../../../src/expose/exposure.ts";
import { renderRuleset } from "../../../src/firewall/ruleset.ts";
import { type Cidr, formatCidr } from "../../../src/net/cidr.ts";
import type { Ip } from "../../../src/net/ip.ts";
import { macFromNumber } from "../../../src/net/mac.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { silentLog } from "../../../src/runtime/log.ts";

class MemoryJournal implements ExposureJournal {
  readonly rows = new Map<Ip, Exposure>();
  exposures(): readonly Exposure[] {
    return [...this.rows.values()];
  }
  put(exposure: Exposure): void {
    this.rows.set(exposure.cidr.address, exposure);
  }
  drop(address: Ip): void {
    this.rows.delete(address);
  }
}

class MemoryBridge implements BridgeInterface {
  readonly name = "weave";
  readonly addresses = new Set<string>();
  readonly announced: string[] = [];
  mac = () => macFromNumber(2);
  ensureAddress(cidr: Cidr): readonly string[] {
    if (this.addresses.has(formatCidr(cidr))) return [];
    this.addresses.add(formatCidr(cidr));
    return [`${formatCidr(cidr)} added`];
  }
  removeAddress(cidr: Cidr): void {
    this.addresses.delete(formatCidr(cidr));
  }
  announce(addresses: readonly Cidr[]): void {
    this.announced.push(...addresses.map(formatCidr));
  }
}

let journal: MemoryJournal;
let bridge: MemoryBridge;
let table: string;
let refuses: boolean;
let route: HostRoute | undefined;
let exposer: Exposer;

beforeEach(() => {
  [journal, bridge, table, refuses, route] = [new MemoryJournal(), new MemoryBridge(), "", false, undefined];
  const firewall: Firewall = {
    async apply(ruleset) {
      await Promise.resolve(); // others get their turn here, as with a real one
      const text = ruleset.chains.length === 0 ? "" : renderRuleset(ruleset);
      if (refuses && text !== "") throw new UserError("unavailable", "the packet filter refuses");
      const changed = text !== table;
      table = text;
      return changed ? ["firewall"] : [];
    },
    droppingChains: async () => [],
  };
  exposer = new Exposer({
    journal,
    bridge,
    firewall,
    hostRoutes: { overlapping: () => route },
    addresses: explicitAddresses,
    holderOf: () => undefined,
    log: silentLog,
  });
});

describe("when the packet filter refuses", () => {
  test("a new exposure is undone whole", async () => {
    refuses = true;
    await expect(exposer.expose({ addresses: ["10.32.1.1/24", "10.32.2.1/24"] })).rejects.toThrow("the packet filter refuses");
    expect([[...bridge.addresses], journal.exposures(), bridge.announced]).toEqual([[], [], []]);
  });

  test("the earlier choice of masquerading stays", async () => {
    await exposer.expose({ addresses: ["10.32.1.1/24"], masquerade: false });
    refuses = true;
    await expect(exposer.expose({ addresses: ["10.32.1.1/24"] })).rejects.toThrow("refuses");
    expect(journal.exposures()).toMatchObject([{ masquerade: false, state: "exposed" }]);
    expect([...bridge.addresses]).toEqual(["10.32.1.1/24"]);
  });
});

test("requests that come together are done one after the other", async () => {
  const results = await Promise.all([
    exposer.expose({ addresses: ["10.32.1.1/24"] }),
    exposer.hide({ addresses: [] }),
    exposer.expose({ addresses: ["10.32.1.1/24"], masquerade: false }),
    exposer.reconcile(),
  ]);
  expect(results[1]).toMatchObject({ addresses: ["10.32.1.1"] });
  expect(results[3]).toEqual([]);
  expect(journal.exposures()).toMatchObject([{ masquerade: false, state: "exposed" }]);
  expect(table).toBe("");
});

test("only new addresses are announced", async () => {
  await exposer.expose({ addresses: ["10.32.1.1/24"] });
  await exposer.expose({ addresses: ["10.32.1.1/24", "10.32.2.1/24"] });
  expect(bridge.announced).toEqual(["10.32.1.1/24", "10.32.2.1/24"]);
});

test("a refused request changes nothing, also for its other addresses", async () => {
  const { cidr } = { cidr: { address: "10.32.0.0" as Ip, prefixLength: 16 } };
  route = { destination: cidr, device: "eth0" };
  await expect(exposer.expose({ addresses: ["10.32.1.1/24"] })).rejects.toThrow("route 10.32.0.0/16 on 'eth0'");
  await expect(exposer.expose({ addresses: ["10.32.1.0/24"] })).rejects.toThrow("network address");
  await expect(exposer.expose({ addresses: [] })).rejects.toThrow("automatic addresses are switched off here");
  expect(journal.exposures()).toEqual([]);
});
