// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { parseCidr } from "../../../src/net/cidr.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { type Left, Returning } from "../../../src/plugin/returning.ts";

const ip = (text: string) => parseIp(text)!;
const SUBNET = parseCidr("10.32.0.0/16")!;
const [A, B, C] = [ip("10.32.0.1"), ip("10.32.0.2"), ip("10.40.0.1")];

function make(stored: ReadonlyMap<Ip, Left> = new Map()) {
  let kept = stored;
  const journal = {
    load: () => kept,
    save(left: typeof kept) {
      kept = left;
    },
  };
  let now = 0;
  const wait = (ms: number) => {
    now += ms;
  };
  return { returning: new Returning(journal, { now: () => now }), kept: () => kept, wait };
}
const free = () => true;
const by = (container: string, isChosen = false): Left => ({ container, isChosen });

describe("addresses of containers that may come back", () => {
  test("what left last is given first, each once", () => {
    const { returning } = make();
    returning.leave([A], by("a"));
    returning.leave([B], by("b"));
    expect([returning.next(SUBNET, free), returning.next(SUBNET, free), returning.next(SUBNET, free)]).toEqual([B, A, undefined]);
  });
  test("nothing outside the subnet, and nothing that is in use", () => {
    const { returning } = make();
    returning.leave([A, C], by("a"));
    expect(returning.next(SUBNET, () => false)).toBeUndefined();
    expect(returning.next(SUBNET, free)).toBe(A);
    expect(returning.next(SUBNET, free)).toBeUndefined();
  });
  test("nothing while a new container is being made, nor a removed one's", () => {
    const { returning } = make();
    returning.leave([A], by("a"));
    returning.leave([B], by("b"));
    returning.created("new");
    expect(returning.next(SUBNET, free)).toBeUndefined();
    returning.started("new");
    returning.destroyed("b");
    expect([returning.next(SUBNET, free), returning.next(SUBNET, free)]).toEqual([A, undefined]);
  });
  test("one that was made and is never started keeps nobody's address back", () => {
    const { returning, wait } = make();
    returning.leave([A], by("a"));
    returning.created("volumes");
    wait(60_000);
    expect(returning.next(SUBNET, free)).toBe(A);
  });
  test("one that a container chose waits for it, and is given to nobody else", () => {
    const { returning } = make();
    returning.leave([A], by("a", true));
    expect([returning.next(SUBNET, free), returning.has(A)]).toEqual([undefined, true]);
    returning.taken(A);
    expect(returning.has(A)).toBe(false);
    returning.leave([A], by("a", true));
    returning.destroyed("a");
    expect(returning.has(A)).toBe(false);
  });
  test("they are known after a restart, and bounded", () => {
    const first = make();
    first.returning.leave([A], by("a"));
    expect(make(new Map(first.kept())).returning.next(SUBNET, free)).toBe(A);
    for (let n = 0; n < 5_000; n++) first.returning.leave([ip(`10.32.${n >> 8}.${n & 255}`)], by("x"));
    expect(first.kept().size).toBe(1024);
  });
});
