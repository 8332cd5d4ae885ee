// SPDX-License-Identifier: Apache-2.0
// Questions and their answers, read and written by another implementation of the protocol.
import { describe, expect, test } from "bun:test";
import dnsPacket, { type Answer, type RecordType } from "dns-packet";
import { Directory } from "../../../src/dns/directory.ts";
import { isBelow, nameOfTarget, parseName } from "../../../src/dns/name.ts";
import { type Transport, Zone } from "../../../src/dns/zone.ts";
import { parseIp } from "../../../src/net/ip.ts";
import { seededRandom } from "../../../src/runtime/random.ts";

const DOMAIN = parseName("weave.local")!;

function zoneOf(...lines: readonly string[]): Zone {
  const directory = new Directory();
  for (const [number, line] of lines.entries()) {
    const [name = "", address = ""] = line.split(" ");
    directory.add("1", { name: `${name}.`, container: `c${number}`, address: parseIp(address)! });
  }
  return new Zone({ directory, domain: DOMAIN, ttlSeconds: 1, random: seededRandom(1) });
}

function ask(zone: Zone, name: string, type: RecordType, options: { edns?: number; transport?: Transport } = {}) {
  const opt = {
    type: "OPT" as const,
    name: ".",
    udpPayloadSize: options.edns ?? 0,
    flags: 0,
    options: [],
    extendedRcode: 0,
    ednsVersion: 0,
    flag_do: false,
  };
  const request = dnsPacket.encode({
    type: "query",
    id: 4711,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type, name }],
    additionals: options.edns === undefined ? [] : [opt],
  });
  const verdict = zone.answer(request, options.transport ?? "udp");
  if (verdict.kind !== "reply") return verdict.kind;
  const reply = dnsPacket.decode(Buffer.from(verdict.bytes));
  return { ...reply, rcode: (reply as unknown as { rcode: string }).rcode, bytes: verdict.bytes.length };
}
function answered(reply: ReturnType<typeof ask>) {
  if (typeof reply === "string") throw new Error(`no reply: ${reply}`);
  return reply;
}
const dataOf = (answers: readonly Answer[] | undefined): unknown[] =>
  (answers ?? []).map((one) => ("data" in one ? one.data : undefined));

describe("a name below the domain", () => {
  const zone = zoneOf("Web.weave.local 10.32.0.1", "web.weave.local fd00::1", "a.sub1.weave.local 10.32.0.2");

  test("has its addresses by type, with id, case of the question and authority", () => {
    const reply = answered(ask(zone, "wEb.weave.LOCAL", "A"));
    expect(reply.id).toBe(4711);
    expect(reply.questions?.[0]?.name).toBe("wEb.weave.LOCAL");
    expect(reply.answers).toMatchObject([{ type: "A", name: "wEb.weave.LOCAL", ttl: 1, data: "10.32.0.1" }]);
    expect(reply).toMatchObject({ rcode: "NOERROR", flag_aa: true, flag_ra: true, flag_rd: true, flag_tc: false });
    expect(dataOf(answered(ask(zone, "web.weave.local", "AAAA")).answers)).toEqual(["fd00::1"]);
  });

  test("of another type is known all the same", () => {
    expect(answered(ask(zone, "web.weave.local", "MX"))).toMatchObject({ rcode: "NOERROR", flag_aa: true, answers: [] });
    expect(answered(ask(zone, "a.sub1.weave.local", "AAAA"))).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  test("that nobody has does not exist, and is never asked elsewhere", () => {
    for (const name of ["nobody.weave.local", "weave.local", "nobody", "web.weave.local.weave.local"]) {
      expect(answered(ask(zone, name, "A"))).toMatchObject({ rcode: "NXDOMAIN", flag_aa: false, answers: [] });
    }
  });

  test("can be asked for without the domain", () => {
    const reply = answered(ask(zone, "web", "A"));
    expect(reply.answers).toMatchObject([{ name: "web", data: "10.32.0.1" }]);
  });
});

test("everything else is for other servers", () => {
  const zone = zoneOf("web.weave.local 10.32.0.1");
  for (const name of ["example.com", "web.weave.locale", "xweave.local", "9.9.9.9.in-addr.arpa"]) {
    expect(ask(zone, name, name.endsWith("arpa") ? "PTR" : "A")).toBe("forward");
  }
});

test("an address has one name", () => {
  const zone = zoneOf("b.weave.local 10.32.0.1", "a.weave.local 10.32.0.1", "six.weave.local fd00::12");
  expect(dataOf(answered(ask(zone, "1.0.32.10.IN-addr.ARPA", "PTR")).answers)).toEqual(["a.weave.local"]);
  const nibbles = `2.1.${"0.".repeat(26)}0.0.d.f.ip6.arpa`;
  expect(dataOf(answered(ask(zone, nibbles, "PTR")).answers)).toEqual(["six.weave.local"]);
  expect(answered(ask(zone, "1.0.32.10.in-addr.arpa", "A"))).toMatchObject({ rcode: "NXDOMAIN" });
});

test("several addresses take turns", () => {
  const zone = zoneOf("web.weave.local 10.32.0.1", "web.weave.local 10.32.0.2", "web.weave.local 10.32.0.3");
  const firsts = new Set(Array.from({ length: 50 }, () => dataOf(answered(ask(zone, "web.weave.local", "A")).answers)[0]));
  expect(firsts.size).toBe(3);
});

test("a long answer is cut to what the client takes, and whole over TCP", () => {
  const zone = zoneOf(...Array.from({ length: 60 }, (_, index) => `web.weave.local 10.32.0.${index}`));
  const plain = answered(ask(zone, "web.weave.local", "A"));
  expect(plain.flag_tc).toBe(true);
  expect(plain.bytes).toBeLessThanOrEqual(512);
  expect(plain.answers?.length).toBeGreaterThanOrEqual(28);
  const edns = answered(ask(zone, "web.weave.local", "A", { edns: 700 }));
  expect(edns.answers?.length).toBeGreaterThan(plain.answers?.length ?? 0);
  expect(edns.bytes).toBeLessThanOrEqual(700);
  expect(edns.additionals).toMatchObject([{ type: "OPT" }]);
  const tcp = answered(ask(zone, "web.weave.local", "A", { transport: "tcp" }));
  expect(tcp).toMatchObject({ flag_tc: false });
  expect(tcp.answers).toHaveLength(60);
});

describe("names", () => {
  test("that are no host names are not read", () => {
    for (const text of ["", ".", "a..b", "-a.b", "a b.c", `${"x".repeat(64)}.b`, "ä.b", `${"x.".repeat(130)}b`]) {
      expect(parseName(text)).toBeUndefined();
    }
    expect(parseName("Web_1.weave.local")?.text).toBe("Web_1.weave.local.");
  });

  test("lie below a domain at a label's edge", () => {
    expect(isBelow(parseName("a.weave.local")!.key, DOMAIN.key)).toBe(true);
    expect(isBelow(parseName("weave.local")!.key, DOMAIN.key)).toBe(false);
    expect(isBelow(parseName("aweave.local")!.key, DOMAIN.key)).toBe(false);
  });

  test("of containers come from the host name, of namespaces from what they are called", () => {
    const name = (target: Parameters<typeof nameOfTarget>[0]): string | undefined => nameOfTarget(target, DOMAIN)?.text;
    const id = "0123456789abcdef";
    expect(name({ name: "c1", id, hostname: "web", domain: "weave.local" })).toBe("web.weave.local.");
    expect(name({ name: "c1", id, hostname: "web.sub.weave.local" })).toBe("web.sub.weave.local.");
    expect(name({ name: "c1", id, hostname: "web", domain: "example.com" })).toBeUndefined();
    expect(name({ name: "c1", id, hostname: "0123456789ab" })).toBe("c1.weave.local.");
    expect(name({ name: "c1", id, hostname: "web" })).toBe("web.weave.local.");
    expect(name({ name: "/run/netns/blue" })).toBe("blue.weave.local.");
    expect(name({ name: "no host name" })).toBeUndefined();
  });
});
