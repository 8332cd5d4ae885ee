// SPDX-License-Identifier: Apache-2.0
// The netlink decoders on bytes nobody would send: they return, whatever comes.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeAddress } from "../../native/netlink/address.ts";
import { Attributes, MessageWriter, NLMSGHDR, readMessages } from "../../native/netlink/codec.ts";
import { readRefusal } from "../../native/netlink/error.ts";
import { decodeLink } from "../../native/netlink/link.ts";
import { decodeFdb, decodeNeighbour } from "../../native/netlink/neighbour.ts";
import { decodeQdisc } from "../../native/netlink/qdisc.ts";
import { decodeRoute } from "../../native/netlink/route.ts";
import { RTM } from "../../native/netlink/rtnetlink.ts";
import { decodeRule } from "../../native/netlink/rule.ts";
import { decodeWireguard, joinDevice, WGDEVICE_A, WGPEER_A } from "../../native/netlink/wireguard.ts";

const anyBytes = fc.uint8Array({ maxLength: 400 });
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function readAll(attributes: Attributes, depth: number): void {
  for (let type = 0; type < 32; type++) {
    attributes.u8(type);
    attributes.u16(type);
    attributes.u16be(type);
    attributes.u32(type);
    attributes.i32(type);
    attributes.mac(type);
    attributes.text(type);
    attributes.bytes(type);
    attributes.u64(type);
    if (depth > 0) readAll(attributes.nested(type), depth - 1);
    if (depth > 0) for (const child of attributes.nested(type).children()) readAll(child, depth - 1);
  }
}

test("attributes of random bytes are read without throwing and without end", () => {
  fc.assert(
    fc.property(anyBytes, fc.integer({ min: -4, max: 410 }), fc.integer({ min: -4, max: 410 }), (bytes, start, end) => {
      readAll(Attributes.read(viewOf(bytes), start, end), 1);
    }),
  );
});

const DECODERS = [
  decodeLink,
  decodeAddress,
  decodeRoute,
  decodeRule,
  decodeNeighbour,
  decodeFdb,
  decodeQdisc,
  decodeWireguard,
] as const;

test("every decoder takes random messages of its types", () => {
  const types = Object.values(RTM);
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.nat(0xffff), anyBytes, (type, flags, payload) => {
      const writer = new MessageWriter(type, flags);
      for (const byte of payload) writer.u8(byte);
      const bytes = writer.finish(1);
      for (const message of readMessages(viewOf(bytes), bytes.length)) {
        for (const decode of DECODERS) decode(message);
        readRefusal(message, { call: "x", object: "" });
      }
    }),
  );
});

test("messages of random bytes lie inside them, one behind the other", () => {
  fc.assert(
    fc.property(anyBytes, fc.nat(500), (bytes, length) => {
      let last = 0;
      for (const { start, end } of readMessages(viewOf(bytes), length)) {
        expect(start).toBeGreaterThanOrEqual(last + NLMSGHDR.size);
        expect(end).toBeLessThanOrEqual(Math.min(length, bytes.length));
        last = end;
      }
    }),
  );
});

test("what is written is read back", () => {
  const attribute = fc.record({ type: fc.integer({ min: 1, max: 0x3fff }), payload: fc.uint8Array({ maxLength: 40 }) });
  const list = fc.uniqueArray(attribute, { maxLength: 20, selector: ({ type }) => type });
  fc.assert(
    fc.property(list, fc.nat(0xffff_ffff), (attributes, sequence) => {
      const writer = new MessageWriter(1, 0, 16);
      for (const { type, payload } of attributes) writer.attribute(type, payload);
      const bytes = writer.finish(sequence);
      const [message] = readMessages(viewOf(bytes), bytes.length);
      if (message === undefined) throw new Error("the message was not found");
      const read = Attributes.of(message, 0);
      expect(message.sequence).toBe(sequence);
      expect(attributes.map(({ type }) => [...(read.bytes(type) ?? [])])).toEqual(attributes.map(({ payload }) => [...payload]));
    }),
  );
});

test("a WireGuard device told in pieces is whole again, wherever it is cut", () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const peers = fc.uniqueArray(fc.record({ key, allowed: fc.nat(4) }), {
    maxLength: 6,
    selector: ({ key: bytes }) => Buffer.from(bytes).toString("hex"),
  });
  fc.assert(
    fc.property(peers, fc.nat(3), (list, cut) => {
      const whole = list.map(({ key: publicKey, allowed }, i) => {
        const networks = Array.from({ length: allowed }, (_, n) => ({ address: Uint8Array.of(10, i, 0, n), prefixLength: 32 }));
        return { publicKey, networks };
      });
      const parts = whole.flatMap(({ publicKey, networks }) => [
        partOf(publicKey, networks.slice(0, cut)),
        ...(networks.length > cut ? [partOf(publicKey, networks.slice(cut))] : []),
      ]);
      const joined = joinDevice(parts).peers;
      expect(joined.map(({ allowed }) => allowed.map(({ address }) => [...address]))).toEqual(
        whole.map(({ networks }) => networks.map(({ address }) => [...address])),
      );
    }),
  );
});

/** A message about one peer. */
function partOf(publicKey: Uint8Array, networks: readonly { address: Uint8Array; prefixLength: number }[]) {
  const writer = new MessageWriter(30, 0).u32(0);
  writer.nested(WGDEVICE_A.PEERS, () =>
    writer.nested(0, () => {
      writer.attribute(WGPEER_A.PUBLIC_KEY, publicKey);
      writer.nested(WGPEER_A.ALLOWEDIPS, () => {
        for (const { address, prefixLength } of networks) {
          writer.nested(0, () => writer.attributeU16(1, 2).attribute(2, address).attributeU8(3, prefixLength));
        }
      });
    }),
  );
  const bytes = writer.finish(1);
  const [message] = readMessages(viewOf(bytes), bytes.length);
  const part = message && decodeWireguard(message);
  if (part === undefined) throw new Error("the message was not understood");
  return part;
}
