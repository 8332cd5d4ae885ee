// SPDX-License-Identifier: Apache-2.0
// Frames of ARP and neighbour discovery against bytes written by hand from the RFCs.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeArpFrame, encodeArpFrame, gratuitousArp } from "../../../src/net/arp.ts";
import { foldChecksum, sumPseudoHeader, sumWords } from "../../../src/net/checksum.ts";
import { readEthernetHeader } from "../../../src/net/ethernet.ts";
import { decodeNeighbourAdvertisement, unsolicitedAdvertisement } from "../../../src/net/icmpv6.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { readIpv6Header } from "../../../src/net/ipv6.ts";
import { macFromNumber } from "../../../src/net/mac.ts";

const ip = (text: string): Ip => parseIp(text) as Ip; // only constants are given
const MAC = macFromNumber(0x0211_2233_4455);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("checksum", () => {
  // RFC 1071 section 3: the words 0001 f203 f4f5 f6f7 sum to ddf2 when folded.
  test("is that of the example in RFC 1071", () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
    expect(foldChecksum(sumWords(new DataView(bytes.buffer), 0, 8))).toBe(0xddf2 ^ 0xffff);
  });

  test("of data with its checksum is zero, whatever the data and wherever it is", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2, maxLength: 99 }), (bytes) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        view.setUint16(0, 0);
        view.setUint16(0, foldChecksum(sumWords(view, 0, bytes.length)));
        expect(foldChecksum(sumWords(view, 0, bytes.length))).toBe(0);
      }),
    );
  });

  test("counts a pseudo-header of either family", () => {
    expect(sumPseudoHeader(Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6, 7, 8), 17, 20)).toBe(
      0x0102 + 0x0304 + 0x0506 + 0x0708 + 17 + 20,
    );
    const six = new Uint8Array(16).fill(0xff);
    expect(foldChecksum(sumPseudoHeader(six, six, 58, 0x1_0002))).toBe((58 + 1 + 2) ^ 0xffff);
  });
});

describe("gratuitous ARP", () => {
  test("is a request and a reply to everybody about the sender itself", () => {
    expect(gratuitousArp(MAC, ip("10.32.0.1")).map(hex)).toEqual([
      `ffffffffffff${"021122334455"}0806${"0001080006040001"}${"021122334455"}0a200001${"000000000000"}0a200001`,
      `ffffffffffff${"021122334455"}0806${"0001080006040002"}${"021122334455"}0a200001${"ffffffffffff"}0a200001`,
    ]);
  });

  test("is read back, with padding behind it", () => {
    const arp = {
      operation: "reply",
      senderMac: MAC,
      senderIp: ip("10.32.0.1"),
      targetMac: macFromNumber(7),
      targetIp: ip("10.32.0.2"),
    } as const;
    const padded = new Uint8Array(60);
    padded.set(encodeArpFrame(macFromNumber(7), arp));
    expect(decodeArpFrame(padded)).toEqual(arp);
  });

  test("of another protocol, operation or length is none", () => {
    const [request] = gratuitousArp(MAC, ip("10.32.0.1"));
    const changed = (at: number): Uint8Array => (request ?? new Uint8Array()).map((byte, i) => (i === at ? byte ^ 0x40 : byte));
    for (const at of [12, 14, 17, 18, 19, 20]) expect([at, decodeArpFrame(changed(at))]).toEqual([at, undefined]);
    expect(decodeArpFrame((request ?? new Uint8Array()).subarray(0, 41))).toBeUndefined();
  });
});

describe("neighbour advertisement", () => {
  const frame = unsolicitedAdvertisement(MAC, ip("fd00::5"));
  const address = `fd00${"00".repeat(13)}05`;

  test("has the bytes of RFC 4861, to all nodes", () => {
    const header = `333300000001${"021122334455"}86dd`;
    const ipv6 = `60000000${"0020"}3aff${address}ff02${"00".repeat(13)}01`;
    const message = `8800${"CCCC"}20000000${address}0201${"021122334455"}`;
    const text = hex(frame);
    expect(text.replace(text.slice(112, 116), "CCCC")).toBe(header + ipv6 + message);
  });

  test("is taken by a receiver, and not with any bit of it changed", () => {
    expect(decodeNeighbourAdvertisement(frame)).toMatchObject({
      target: ip("fd00::5"),
      targetMac: MAC,
      solicited: false,
      router: false,
    });
    for (let at = 20; at < frame.length; at++) {
      const changed = frame.map((byte, i) => (i === at ? byte ^ 0x10 : byte));
      expect([at, decodeNeighbourAdvertisement(changed)]).toEqual([at, undefined]);
    }
  });

  test("with an option of no length ends there", () => {
    const broken = frame.slice();
    const view = new DataView(broken.buffer);
    view.setUint16(54 + 24, 0x0500); // option 5 of length 0
    view.setUint16(56, 0);
    view.setUint16(
      56,
      foldChecksum(sumWords(view, 54, 86, sumPseudoHeader(broken.subarray(22, 38), broken.subarray(38, 54), 58, 32))),
    );
    expect(decodeNeighbourAdvertisement(broken)?.targetMac).toBeUndefined();
  });
});

test("the decoders take any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      readEthernetHeader(view);
      readIpv6Header(view, Math.min(14, bytes.length));
      decodeArpFrame(bytes);
      decodeNeighbourAdvertisement(bytes);
    }),
  );
});
