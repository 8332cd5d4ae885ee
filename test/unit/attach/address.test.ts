// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { broadcastOf, isAddressWord, parseAddressRequests } from "../../../src/attach/address.ts";
import { formatCidr, parseCidr } from "../../../src/net/cidr.ts";
import { UserError } from "../../../src/runtime/errors.ts";

/** One line per request, as it was understood. */
function understood(...words: string[]): string[] {
  return parseAddressRequests(words).map((request) => {
    if (request.kind === "address") return formatCidr(request.cidr);
    return request.kind === "subnet" ? `any in ${formatCidr(request.subnet)}` : "any";
  });
}

function refusal(...words: string[]): string {
  try {
    parseAddressRequests(words);
  } catch (thrown) {
    if (thrown instanceof UserError && thrown.code === "bad-request" && thrown.hint !== "") return thrown.message;
    throw thrown;
  }
  return "";
}

describe("address requests", () => {
  test("all forms, several at once, in order, IPv4 and IPv6", () => {
    expect(understood("10.32.1.5/24", "ip:10.32.2.5/16")).toEqual(["10.32.1.5/24", "10.32.2.5/16"]);
    expect(understood("net:10.32.2.0/24", "net:default")).toEqual(["any in 10.32.2.0/24", "any"]);
    expect(understood("fd00:1::5/64", "ip:FD00:0001::0006/64", "net:fd00:2::/64")).toEqual([
      "fd00:1::5/64",
      "fd00:1::6/64",
      "any in fd00:2::/64",
    ]);
    expect(understood()).toEqual(["any"]);
  });

  test("both addresses of a point-to-point pair and a single address are fine", () => {
    expect(understood("10.0.0.0/31", "10.0.0.1/31", "10.0.0.9/32", "fd00::/127", "fd00::9/128").length).toBe(5);
  });

  const bad: readonly (readonly [word: string, why: string])[] = [
    ["10.32.1.5", "'10.32.1.5' has no prefix length"],
    ["ip:10.32.1.5", "'ip:10.32.1.5' has no prefix length"],
    ["fd00::5", "'fd00::5' has no prefix length"],
    ["10.32.1.0/24", "'10.32.1.0/24' cannot be given to an interface: it is the network address of 10.32.1.0/24"],
    ["10.32.1.255/24", "'10.32.1.255/24' cannot be given to an interface: it is the broadcast address of 10.32.1.0/24"],
    ["fd00:1::/64", "'fd00:1::/64' cannot be given to an interface: it is the network address of fd00:1::/64"],
    ["10.32.1.5/33", "'10.32.1.5/33' has a bad prefix length '33'"],
    ["10.32.1.5/0", "'10.32.1.5/0' has a bad prefix length '0'"],
    ["10.32.1.5/24x", "'10.32.1.5/24x' has a bad prefix length '24x'"],
    ["10.32.1.5/", "'10.32.1.5/' has a bad prefix length ''"],
    ["fd00::5/129", "'fd00::5/129' has a bad prefix length '129'"],
    ["10.32.1.256/24", "'10.32.1.256/24' is not an address"],
    ["10.32.1/24", "'10.32.1/24' is not an address"],
    ["ip:", "'ip:' is not an address"],
    ["224.0.0.1/24", "'224.0.0.1/24' cannot be given to an interface: it is a multicast address"],
    ["127.0.0.1/8", "'127.0.0.1/8' cannot be given to an interface: it is a loopback address"],
    [
      "fe80::1/64",
      "'fe80::1/64' cannot be given to an interface: it is link-local; every interface gets such an address by itself",
    ],
    ["net:10.32.2.5/24", "'net:10.32.2.5/24' is not a subnet: it has host bits set"],
    ["net:10.32.2.0/31", "'net:10.32.2.0/31' leaves no room for addresses: its prefix length is more than 30"],
    ["net:fd00::/127", "'net:fd00::/127' leaves no room for addresses: its prefix length is more than 126"],
    ["net:elsewhere", "'net:elsewhere' is not an address"],
  ];
  for (const [word, why] of bad) test(`${word} is refused with the reason`, () => expect(refusal(word)).toBe(why));

  test("an address given twice, also in another spelling or with another prefix length", () => {
    expect(refusal("10.32.1.5/24", "ip:10.32.1.5/24")).toBe("address '10.32.1.5/24' is given twice");
    expect(refusal("fd00::5/64", "fd00:0::5/64")).toBe("address 'fd00::5/64' is given twice");
    expect(refusal("10.32.1.5/24", "10.32.1.5/16")).toBe("address '10.32.1.5/16' is given twice");
  });

  test("words that are meant as addresses are told from names, ids, PIDs and paths", () => {
    for (const word of ["10.32.1.5/24", "10.32.1.5", "10.32.1.999/24", "ip:x", "net:default", "fd00::5/64", "fd00::5", "1.2/3"]) {
      expect([word, isAddressWord(word)]).toEqual([word, true]);
    }
    for (const word of ["web", "web-1.2", "4711", "cafe01", "/run/netns/web", "netns:web", "pid:12", "container:web", "web/1"]) {
      expect([word, isAddressWord(word)]).toEqual([word, false]);
    }
  });

  test("the last address of a subnet", () => {
    expect(String(broadcastOf(parseCidr("10.32.1.5/20")!))).toBe("10.32.15.255");
    expect(String(broadcastOf(parseCidr("10.32.1.5/31")!))).toBe("10.32.1.5");
  });
});

describe("whatever is typed", () => {
  test("is understood or refused with a message and a hint, never anything else", () => {
    const piece = fc.constantFrom(
      "ip:",
      "net:",
      "10.32.1.5",
      "fd00::1",
      "/",
      "24",
      "33",
      "default",
      " ",
      ".",
      ":",
      "0",
      "-1",
      "\u0000",
      "é",
    );
    const word = fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join("")),
    );
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), (words) => {
        try {
          parseAddressRequests(words);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(UserError);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("an address that was understood is shown as it is understood", () => {
    const octet = fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(fc.tuple(octet, octet, octet, octet), fc.integer({ min: 1, max: 32 }), (octets, length) => {
        const text = `${octets.join(".")}/${length}`;
        let shown: string[];
        try {
          shown = understood(text);
        } catch {
          return; // network, broadcast, reserved: those are in the table above
        }
        expect(shown).toEqual([text]);
        expect(isAddressWord(text)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
