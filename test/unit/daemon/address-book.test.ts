// SPDX-License-Identifier: Apache-2.0
// Words of a request become leases and back, on a lone host with a ring of its own.
import { beforeEach, describe, expect, test } from "bun:test";
import { parseAddressRequests } from "../../../src/attach/address.ts";
import { AddressBook, type Holding } from "../../../src/daemon/address-book.ts";
import { Allocator } from "../../../src/ipam/allocator.ts";
import type { PeerName } from "../../../src/mesh/peer-name.ts";
import { formatCidr, parseCidr } from "../../../src/net/cidr.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { MemoryJournal } from "../../support/ipam-journal.ts";

const cidr = (text: string) => parseCidr(text)!;
const never = async (): Promise<boolean> => false;
let allocator: Allocator;
let book: AddressBook;

beforeEach(() => {
  const range = cidr("10.32.0.0/16");
  allocator = new Allocator(
    {
      self: 1 as PeerName,
      nickname: "h1",
      range,
      init: { by: "consensus", electors: 1 },
      quarantineMs: 30_000,
      deadlineMs: 1_000,
      reclaimAfterMs: 0,
    },
    {
      clock: systemClock,
      random: seededRandom(1),
      log: silentLog,
      journal: new MemoryJournal(),
      channel: () => ({ broadcast: () => {}, unicast: () => false }),
      peers: () => new Map(),
      electors: () => 1,
      describe: (owner) => owner,
      mayReturn: () => false,
    },
  );
  book = new AddressBook({ range, range6: cidr("fd00:32::/96"), defaultSubnet: cidr("10.32.1.0/24") }, allocator);
});

async function claim(owner: string, ...words: string[]): Promise<string> {
  return (await book.claim(owner, parseAddressRequests(words))).map(formatCidr).join(" ");
}

describe("an address book", () => {
  test("chooses in the default subnet, in another, in an IPv6 one, each with its twin", async () => {
    expect(await claim("a")).toBe("10.32.1.1/24 fd00:32::a20:101/120");
    expect(await claim("a", "net:10.32.2.0/24")).toBe("10.32.2.1/24 fd00:32::a20:201/120");
    expect(await claim("b", "net:fd00:32::a20:200/120")).toBe("fd00:32::a20:202/120");
    expect(await claim("a", "net:default", "ip:10.32.9.9/24")).toBe("10.32.1.1/24 fd00:32::a20:101/120 10.32.9.9/24");
    expect(book.defaultSubnets().map(formatCidr)).toEqual(["10.32.1.0/24", "fd00:32::a20:100/120"]);
  });

  test("an address and its twin are one: who has one keeps others from both, and it is free when both have gone", async () => {
    await claim("a", "ip:fd00:32::a20:107/120");
    await expect(claim("b", "ip:10.32.1.7/24")).rejects.toThrow("cannot claim 10.32.1.7: it is held by 'a' on this host");
    expect(await claim("a", "ip:10.32.1.7/24")).toBe("10.32.1.7/24");
    await book.release("a", [cidr("fd00:32::a20:107/120")]);
    await expect(claim("b", "ip:fd00:32::a20:107/120")).rejects.toThrow("is held by 'a'");
    await book.release("a", [cidr("10.32.1.7/24")]);
    expect(await claim("b", "ip:fd00:32::a20:107/120")).toBe("fd00:32::a20:107/120");
  });

  test("when one of several cannot be had, none is kept, but what was held before", async () => {
    await claim("b", "ip:10.32.1.9/24");
    await claim("a", "ip:10.32.1.8/24");
    await expect(claim("a", "ip:10.32.1.8/24", "net:default", "ip:10.32.1.9/24")).rejects.toThrow("is held by 'b'");
    expect(allocator.leasesOf("a").map(({ address }) => address & 0xff)).toEqual([8]);
  });

  test.each([
    ["net:10.33.0.0/24", "cannot choose an address in 10.33.0.0/24: it lies outside the range 10.32.0.0/16"],
    ["net:fd00:33::/120", "cannot choose an address in fd00:33::/120: it lies outside the range fd00:32::/96"],
  ])("%s is refused", async (word, why) => {
    await expect(claim("a", word)).rejects.toThrow(why);
  });

  test("what is attached without a lease gets one; a lease that nothing uses in two looks ends, those of the API stay", async () => {
    const holding: Holding = { owner: "old", cidr: cidr("10.32.1.50/24") };
    expect(await book.reconcile([holding], never)).toEqual([]);
    await expect(claim("a", "ip:10.32.1.50/24")).rejects.toThrow("is held by 'old'");
    await claim("gone");
    await allocator.allocate("plugin", cidr("10.32.1.0/24"), "api", "v4");
    await allocator.allocate("stopped", cidr("10.32.1.0/24"), "container", "v4");
    expect(await book.reconcile([holding], never)).toEqual([]);
    expect((await book.reconcile([holding], never)).length).toBe(2);
    expect(allocator.leases().map(({ owner }) => owner)).toEqual(["plugin", "old"]);
  });

  test("a request that still waits for more of its addresses keeps those it has", async () => {
    await claim("full", "net:10.32.3.0/30");
    await claim("full2", "net:10.32.3.0/30");
    const waits = claim("a", "net:default", "ip:10.32.4.1/24");
    await book.reconcile([], never);
    await book.reconcile([], never);
    await waits;
    expect(allocator.leasesOf("a")).toHaveLength(2);
  });
});
