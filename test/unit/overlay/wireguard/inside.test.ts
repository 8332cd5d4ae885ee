// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { blake2b } from "../../../../native/libsodium/hash.ts";
import { cidrContains, formatCidr } from "../../../../src/net/cidr.ts";
import { INSIDE_PREFIX, insideAddress } from "../../../../src/overlay/wireguard/inside.ts";

test("an inside address is the prefix and 80 bits of the identity's hash", () => {
  expect(formatCidr(INSIDE_PREFIX)).toBe("fd77:6561:7665::/48");
  const identity = new Uint8Array(32).fill(7);
  const digest = Buffer.from(blake2b(Buffer.concat([Buffer.from("weave inside address"), identity])));
  const groups = digest.subarray(0, 10).toString("hex").match(/.{4}/g);
  const address = insideAddress(identity, blake2b);
  expect(cidrContains(INSIDE_PREFIX, address)).toBe(true);
  expect(address.split(":")).toEqual(["fd77", "6561", "7665", ...(groups ?? []).map((group) => group.replace(/^0+(?=.)/, ""))]);
  expect(insideAddress(new Uint8Array(32).fill(8), blake2b)).not.toBe(address);
});
