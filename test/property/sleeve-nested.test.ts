// SPDX-License-Identifier: Apache-2.0
// Laws of packets inside a container's own tunnel: their checksums are right when they leave, and pieces of a super-packet are the packets that
// the sender's kernel would have made of it.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { foldChecksum, sumWords } from "../../src/net/checksum.ts";
import { Cutter, pieceBytes } from "../../src/overlay/sleeve/cutting.ts";
import { Nested } from "../../src/overlay/sleeve/nested.ts";
import { checksumOffset, Packet, pseudoHeaderSum } from "../../src/overlay/sleeve/packet.ts";
import { type InnerFrame, innerFrame, pattern } from "../support/inner-frames.ts";

const TUNNELS = {
  vxlan: Uint8Array.of(8, 0, 0, 0, 0, 0, 9, 0),
  geneve: Uint8Array.of(0, 0, 0x65, 0x58, 0, 0, 9, 0),
  "geneve with options": Uint8Array.of(2, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 1, 0, 1, 7, 7, 7, 7),
} as const;
type Tunnel = keyof typeof TUNNELS;

/** Bytes of the checksum's place, and what it begins with or what it is. */
function withChecksum(frame: Uint8Array<ArrayBuffer>, state: "begun" | "right"): Uint8Array<ArrayBuffer> {
  const view = new DataView(frame.buffer);
  const packet = new Packet();
  expect(packet.read(view, 0, frame.length)).toBe(true);
  const { ipAt, isIpv6, isTcp, transportAt } = packet;
  const at = transportAt + checksumOffset(isTcp);
  view.setUint16(at, pseudoHeaderSum(view, ipAt, isIpv6, isTcp, frame.length - transportAt));
  if (state === "right") view.setUint16(at, foldChecksum(sumWords(view, transportAt, frame.length)) || (isTcp ? 0 : 0xffff));
  return frame;
}
function inTunnel(tunnel: Tunnel, inner: Uint8Array, outer: Partial<InnerFrame>): Uint8Array<ArrayBuffer> {
  return innerFrame({ ...outer, protocol: "udp", payload: Uint8Array.of(...TUNNELS[tunnel], ...inner) });
}

const inner = fc.record({
  protocol: fc.constantFrom("tcp" as const, "udp" as const),
  ipv6: fc.boolean(),
  sequence: fc.nat(2 ** 32 - 1),
  id: fc.nat(0xffff),
  optionBytes: fc.constantFrom(0, 12),
});
const outer = fc.record({ ipv6: fc.boolean(), id: fc.nat(0xffff) });
const tunnel = fc.constantFrom(...(Object.keys(TUNNELS) as Tunnel[]));

test("a checksum that was begun is finished, one that is right stays", () => {
  fc.assert(
    fc.property(inner, outer, tunnel, fc.integer({ min: 1, max: 3_000 }), (of, around, kind, length) => {
      const frame = (state: "begun" | "right") =>
        inTunnel(kind, withChecksum(innerFrame({ ...of, payload: pattern(length) }), state), around);
      for (const state of ["begun", "right"] as const) {
        const bytes = frame(state);
        const view = new DataView(bytes.buffer);
        const [packet, nested] = [new Packet(), new Nested()];
        expect(packet.read(view, 0, bytes.length) && nested.read(view, 0, packet)).toBe(true);
        nested.finish(view, 0);
        expect(Buffer.compare(bytes, frame("right"))).toBe(0);
      }
    }),
    { numRuns: 200 },
  );
});

test("pieces of a super-packet are packets of their own, inside and outside", () => {
  fc.assert(
    fc.property(
      inner,
      outer,
      tunnel,
      fc.integer({ min: 64, max: 1_400 }),
      fc.integer({ min: 1_401, max: 20_000 }),
      (of, around, kind, segment, length) => {
        const payload = pattern(length);
        const bytes = inTunnel(kind, withChecksum(innerFrame({ ...of, payload }), "begun"), around);
        const view = new DataView(bytes.buffer);
        const [packet, nested, cutter] = [new Packet(), new Nested(), new Cutter()];
        expect(packet.read(view, 0, bytes.length) && nested.read(view, 0, packet)).toBe(true);
        const each = pieceBytes(view, 0, nested.inner, segment, 1_500);
        expect(each).toBeGreaterThan(0);
        cutter.begin(bytes, 0, nested.inner);
        for (let offset = 0, number = 0; offset < length; offset += each, number++) {
          const size = Math.min(each, length - offset);
          const start = cutter.write(view, bytes, 0, offset, size, number);
          nested.dress(view, start, size, number);
          const expected = inTunnel(
            kind,
            withChecksum(
              innerFrame({
                ...of,
                payload: payload.subarray(offset, offset + size),
                sequence: (of.sequence + offset) % 2 ** 32,
                id: (of.id + number) & 0xffff,
              }),
              "right",
            ),
            { ...around, id: (around.id + number) & 0xffff },
          );
          const piece = bytes.subarray(start, start + nested.inner.headerBytes + size);
          expect(Buffer.compare(piece, expected)).toBe(0);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("whatever stands behind a UDP header is read within its bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), tunnel, fc.boolean(), (bytes, kind, looksLikeOne) => {
      const payload = looksLikeOne ? Uint8Array.of(...TUNNELS[kind], ...bytes) : bytes;
      const frame = innerFrame({ protocol: "udp", payload });
      const view = new DataView(frame.buffer);
      const [packet, nested] = [new Packet(), new Nested()];
      if (!packet.read(view, 0, frame.length) || !nested.read(view, 0, packet)) return;
      expect(nested.inner.headerBytes + nested.inner.payloadBytes).toBeLessThanOrEqual(frame.length);
      nested.finish(view, 0);
    }),
    { numRuns: 2_000 },
  );
});
