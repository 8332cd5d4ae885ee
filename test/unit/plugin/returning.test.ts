// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { parseCidr } from "../../../src/net/cidr.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { Returning } from "../../../src/plugin/returning.ts";

const ip = (text: string) => parseIp(text)!;
const SUBNET = parseCidr("10.32.0.0/16")!;
const [A, B, C] = [ip("10.32.0.1"), ip("10.32.0.2"), ip("10.40.0.1")];

function make(stored: (readonly [Ip, string])[] = []) {
  let kept: readonly (readonly [Ip, string])[] = stored;
  const journal = {
    load: () => kept,
    save(left: typeof kept) {
      kept = left;
    },
  };
  return { returning: new Returning(journal), kept: () => kept };
}
const free = () => true;

describe("addresses of containers that may come back", () => {
  test("what left last is given first, each once", () => {
    const { returning } = make();
    returning.leave("a", [A]);
    returning.leave("b", [B]);
    expect([returning.next(SUBNET, free), returning.next(SUBNET, free), returning.next(SUBNET, free)]).toEqual([B, A, undefined]);
  });
  test("nothing outside the subnet, and nothing that is in use", () => {
    const { returning } = make();
    returning.leave("a", [A, C]);
    expect(returning.next(SUBNET, () => false)).toBeUndefined();
    expect(returning.next(SUBNET, free)).toBe(A);
    expect(returning.next(SUBNET, free)).toBeUndefined();
  });
  test("nothing while a new container is being made, nor a removed one's", () => {
    const { returning } = make();
    returning.leave("a", [A]);
    returning.leave("b", [B]);
    returning.created("new");
    expect(returning.next(SUBNET, free)).toBeUndefined();
    returning.started("new");
    returning.destroyed("b");
    expect([returning.next(SUBNET, free), returning.next(SUBNET, free)]).toEqual([A, undefined]);
  });
  test("they are known after a restart, and bounded", () => {
    const first = make();
    first.returning.leave("a", [A]);
    expect(make([...first.kept()]).returning.next(SUBNET, free)).toBe(A);
    for (let n = 0; n < 5_000; n++) first.returning.leave("x", [ip(`10.32.${n >> 8}.${n & 255}`)]);
    expect(first.kept().length).toBe(1024);
  });
});
