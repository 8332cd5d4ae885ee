// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { checkTapName, firstFree, hostLinkNames, linkMacs } from "../../../src/attach/link-name.ts";
import { parseIp } from "../../../src/net/ip.ts";

function names(count: number, pid: number | undefined, id = "4026532567.77"): string[] {
  const all = hostLinkNames({ pid, netns: { path: "", id } });
  return Array.from({ length: count }, () => all.next().value);
}

describe("names of host ends", () => {
  test("the PID, then the namespace's inode, then others; never too long, never twice", () => {
    const some = names(50, 4_194_304);
    expect(some.slice(0, 2)).toEqual(["vethwepl4194304", "vethwepl1ulakev"]);
    expect(new Set(some).size).toBe(50);
    for (const name of [...some, ...names(10, undefined)]) expect(name).toMatch(/^vethwepl[0-9a-z]{1,7}$/);
  });

  test("the first that nobody has", () => {
    const taken = new Set(names(3, 12));
    expect(firstFree(hostLinkNames({ pid: 12, netns: { path: "", id: "4026532567.77" } }), (name) => taken.has(name))).toBe(
      names(4, 12)[3]!,
    );
  });
});

describe("MACs of links", () => {
  const of = (host: string, end: "guest" | "host", ip: string): number => linkMacs(host, end, parseIp(ip)!).next().value;

  test("are stable, local unicast, and differ by host, end and address", () => {
    expect(of("a", "guest", "10.0.0.1")).toBe(of("a", "guest", "10.0.0.1"));
    const all = new Set<number>();
    for (const host of ["66:b4:a1:85:da:65", "66:b4:a1:85:da:66"]) {
      for (const end of ["guest", "host"] as const) {
        for (let i = 0; i < 5_000; i++) all.add(of(host, end, `10.32.${i >> 8}.${i & 255}`));
      }
    }
    expect(all.size).toBe(20_000);
    for (const mac of all) expect(Math.floor(mac / 2 ** 40) & 3).toBe(2);
  });
});

describe("names of taps", () => {
  test("what the kernel takes and is not ours", () => {
    for (const name of ["tap0", "vm-1.net0", "a"]) expect(checkTapName(name)).toBe(name);
    for (const name of ["", "sixteen-letters-", "a b", "a/b", "a:b", "..", "weave", "vethwepl1", "vxlan-6784", "lo"]) {
      expect(() => checkTapName(name)).toThrow("cannot be the name of a tap");
    }
  });
});
