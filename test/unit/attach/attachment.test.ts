// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import {
  type Attachment,
  beginAdding,
  beginRemoving,
  commit,
  isUnfinished,
  planGuard,
  planPort,
  settle,
} from "../../../src/attach/attachment.ts";
import { formatCidr, parseCidr } from "../../../src/net/cidr.ts";
import { macFromNumber } from "../../../src/net/mac.ts";

const cidr = (text: string) => parseCidr(text)!;
const ONE = cidr("10.32.1.5/24");
const TWO = cidr("10.32.2.5/24");
const RECORD: Attachment = {
  hostLink: "vethwepl1",
  kind: "veth",
  owner: "netns:/run/netns/web",
  name: "web",
  netnsPath: "/run/netns/web",
  netnsId: "1.2",
  hostMac: macFromNumber(0x02_00_00_00_00_01),
  mac: macFromNumber(0x02_00_00_00_00_02),
  addresses: [ONE],
  adding: [],
  removing: [],
  multicastRoute: true,
  guarded: true,
  bootId: "b",
};

describe("an attachment's record", () => {
  test("what is being added is planned at once and promised only after the commit", () => {
    const adding = beginAdding(RECORD, [TWO]);
    expect(isUnfinished(adding)).toBe(true);
    expect(adding.addresses).toEqual([ONE]);
    expect(planPort(adding)).toMatchObject({ addresses: [ONE, TWO], absent: [] });
    expect(planGuard(adding).addresses.map(formatCidr)).toEqual(["10.32.1.5/24", "10.32.2.5/24"]);
    expect(commit(adding)).toEqual({ ...RECORD, addresses: [ONE, TWO] });
  });

  test("an unfinished addition is settled by removing what it touched, and only that", () => {
    const settled = settle(beginAdding(RECORD, [TWO]));
    expect(planPort(settled)).toMatchObject({ addresses: [ONE], absent: [TWO] });
    expect(commit(settled)).toEqual(RECORD);
  });

  test("an unfinished removal is settled by going on with it", () => {
    const removing = beginRemoving({ ...RECORD, addresses: [ONE, TWO] }, [TWO]);
    expect(settle(removing)).toEqual(removing);
    expect(planGuard(removing).addresses).toEqual([ONE]);
    expect(commit(removing)).toEqual(RECORD);
  });

  test("the guard is the MAC of a container; a virtual machine, or a port without spoof check, has none", () => {
    expect(planGuard(RECORD)).toEqual({ mac: RECORD.mac, addresses: [ONE] });
    expect(planGuard({ ...RECORD, kind: "tap" }).mac).toBeUndefined();
    expect(planGuard({ ...RECORD, guarded: false }).mac).toBeUndefined();
  });
});
