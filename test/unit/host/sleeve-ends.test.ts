// SPDX-License-Identifier: Apache-2.0
// Two sleeves on loopback: who is believed, how keys change, what happens to sizes.
import { describe, expect, test } from "bun:test";
import { SOL_SOCKET, setIntOption } from "../../../native/libc/socket.ts";
import { OVERLAP_MS, REKEY_LIMIT_MS, REKEY_MS, REKEY_RETRY_MS } from "../../../src/host/sleeve-keyring.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { innerFrame, pattern } from "../../support/inner-frames.ts";
import { Ends } from "../../support/sleeve-ends.ts";

const SO_NO_CHECK = 11; // asm-generic/socket.h
const CIPHERS = ["aes256gcm", "chacha20poly1305", "none"] as const;
const frame = (number: number, length = 100) => {
  const bytes = pattern(length);
  bytes.set([0x88, 0xb7, number >>> 8, number & 0xff], 12);
  return bytes;
};
const numbers = (arrived: readonly { readonly frame: Uint8Array }[]) =>
  arrived.map((each) => (each.frame[14]! << 8) | each.frame[15]!);

describe("two ends", () => {
  for (const cipher of CIPHERS) {
    test(`${cipher}: each hears the other and finds the path's MTU`, () => {
      using ends = new Ends(cipher);
      ends.settle();
      expect([ends.a.session.isUp, ends.b.session.isUp]).toEqual([true, true]);
      expect([ends.a.session.mtu.bytes, ends.b.session.mtu.bytes]).toEqual([1500, 1500]);
      expect(ends.a.session.innerBytes).toBe(cipher === "none" ? 1439 : 1423);
    });
  }

  test("small frames that wait together share a datagram", () => {
    using ends = new Ends("aes256gcm");
    ends.settle();
    const before = ends.seen.length;
    for (let i = 0; i < 40; i++) ends.a.send(frame(i));
    ends.run();
    expect(ends.seen.length - before).toBe(4);
    expect(numbers(ends.b.arrived)).toEqual(Array.from({ length: 40 }, (_, i) => i));
  });

  test("a TCP super-packet travels as segments that fit, a UDP one as the datagrams it stands for", () => {
    using ends = new Ends("aes256gcm");
    ends.settle();
    for (const protocol of ["tcp", "udp"] as const) {
      for (const ipv6 of [false, true]) {
        ends.b.arrived.length = 0;
        const payload = pattern(10_000);
        ends.a.send(innerFrame({ protocol, ipv6, payload }), 1_200);
        ends.run();
        const headers = 14 + (ipv6 ? 40 : 20) + (protocol === "tcp" ? 20 : 8);
        expect(ends.b.arrived.map((each) => each.frame.length - headers)).toEqual([...new Array(8).fill(1_200), 400]);
        expect(Buffer.concat(ends.b.arrived.map((each) => each.frame.subarray(headers)))).toEqual(Buffer.from(payload));
      }
    }
    expect(ends.a.drops).toEqual({});
  });

  test("two small datagrams of a UDP super-packet stay two, also when both would fit into one frame", () => {
    using ends = new Ends("none");
    ends.settle();
    ends.a.send(innerFrame({ protocol: "udp", payload: pattern(600) }), 400);
    ends.run();
    expect(ends.b.arrived.map((each) => each.frame.length)).toEqual([442, 242]);
  });

  test("datagrams of a UDP super-packet that are too large for the path are put together again", () => {
    using ends = new Ends("aes256gcm", { largestMtuBytes: 1100 });
    ends.settle();
    const payload = pattern(4_000);
    ends.a.send(innerFrame({ protocol: "udp", payload }), 1_400);
    ends.run();
    expect(ends.b.arrived.map((each) => each.frame.length - 42)).toEqual([1_400, 1_400, 1_200]);
    expect(Buffer.concat(ends.b.arrived.map((each) => each.frame.subarray(42)))).toEqual(Buffer.from(payload));
  });

  test("a super-packet of something else is not passed on as one large packet", () => {
    using ends = new Ends("none");
    ends.settle();
    ends.a.send(frame(1, 5_000), 1_200);
    ends.run();
    expect([ends.b.arrived.length, ends.a.drops]).toEqual([0, { notCut: 1 }]);
  });

  test("more pieces than can wait: the oldest are given up, and counted", () => {
    using ends = new Ends("aes256gcm");
    ends.settle();
    let count = 0;
    ends.fate = (datagram) => (datagram.length > 600 && count++ % 3 === 0 ? [] : [datagram]);
    for (let i = 0; i < 100; i++) ends.a.send(frame(i, 4_000));
    ends.run();
    ends.fate = (datagram) => [datagram];
    ends.a.send(frame(1_000, 4_000));
    ends.run();
    expect(numbers(ends.b.arrived).at(-1)).toBe(1_000);
    expect(ends.b.drops["fragmentLost"]).toBeGreaterThan(50);
  });
});

describe("a kernel that makes no segments", () => {
  test("is seen at run time: datagrams go one by one, none is lost, and it is asked again much later", () => {
    using ends = new Ends("aes256gcm");
    ends.settle();
    expect(ends.a.session.segments).toBe(true);
    setIntOption(ends.a.fd, SOL_SOCKET, SO_NO_CHECK, 1, "SO_NO_CHECK"); // UDP_SEGMENT is refused then (EINVAL)
    for (let i = 0; i < 3; i++) ends.a.send(innerFrame({ protocol: "tcp", payload: pattern(20_000) }), 1_200);
    ends.run();
    expect(ends.b.arrived).toHaveLength(3 * 17);
    expect([ends.a.session.segments, ends.a.drops, ends.b.drops]).toEqual([false, {}, {}]);
    ends.step(700_000);
    expect(ends.a.session.segments).toBe(true);
  });
});

describe("who is believed", () => {
  test("clear datagrams mean nothing to a sealed session, and the other way round", () => {
    using sealed = new Ends("aes256gcm");
    using clear = new Ends("none");
    for (const ends of [sealed, clear]) {
      ends.settle();
      ends.a.send(frame(1));
      ends.run();
    }
    const last = (ends: Ends) => ends.seen.findLast(({ to }) => to === "b")!.bytes.with(8, 1); // a newer counter
    for (const [ends, foreign] of [
      [sealed, last(clear)],
      [clear, last(sealed)],
    ] as const) {
      const before = ends.b.arrived.length;
      ends.deliver("b", foreign);
      ends.run();
      expect([ends.b.arrived.length, ends.b.drops["otherMode"]]).toEqual([before, 1]);
    }
  });

  test("another secret, another cipher, other indices: nothing gets through", () => {
    const base = { localIndex: 1, remoteIndex: 2 };
    using ends = new Ends("aes256gcm");
    ends.settle();
    for (const [cipher, options] of [
      ["aes256gcm", { secret: new Uint8Array(32).fill(8) }],
      ["chacha20poly1305", {}],
      ["aes256gcm", base],
    ] as const) {
      using others = new Ends(cipher, options);
      others.a.send(frame(5));
      others.run();
      const foreign = others.seen.findLast(({ to }) => to === "b")!.bytes.with(8, 1);
      new DataView(foreign.buffer).setUint32(0, 0x2000);
      ends.deliver("b", foreign);
    }
    ends.run();
    expect([ends.b.arrived.length, ends.b.drops["notAuthentic"]]).toEqual([0, 3]);
  });

  test("only authentic datagrams, and of those the newest, move the peer's address", () => {
    using ends = new Ends("aes256gcm");
    ends.settle();
    const home = ends.b.session.name.view.getUint16(2);
    ends.a.send(frame(1));
    let kept: Uint8Array | undefined;
    ends.fate = (datagram) => {
      kept = datagram;
      return [];
    };
    ends.run();
    ends.fate = (datagram) => [datagram];
    ends.a.send(frame(2));
    ends.run();
    expect(ends.b.moves).toEqual([]);
    ends.deliverFrom("elsewhere", "b", kept!); // authentic, but overtaken
    ends.deliverFrom("elsewhere", "b", kept!.with(20, 0)); // not authentic
    ends.run();
    expect([ends.b.moves, ends.b.session.name.view.getUint16(2), numbers(ends.b.arrived)]).toEqual([[], home, [2, 1]]);
    ends.a.send(frame(3));
    ends.fate = (datagram) => {
      kept = datagram;
      return [];
    };
    ends.run();
    ends.deliverFrom("elsewhere", "b", kept!);
    ends.b.receive();
    expect(ends.b.moves).toHaveLength(1);
    expect(ends.b.session.name.view.getUint16(2)).not.toBe(home);
  });
});

describe("keys", () => {
  test("change in good time under traffic, without a lost frame, whatever answers get lost", () => {
    using ends = new Ends("aes256gcm");
    ends.settle();
    const random = seededRandom(5);
    let sent = 0;
    // Offers and answers are the only datagrams of this size; two of three are lost.
    ends.fate = (datagram) => (datagram.length === 12 + 3 + 36 + 16 && random.below(3) > 0 ? [] : [datagram]);
    for (let now = 3_000; now < 5 * REKEY_MS; now += 500) {
      ends.a.send(frame(sent));
      ends.b.send(frame(sent++));
      ends.step(now);
    }
    const all = Array.from({ length: sent }, (_, i) => i);
    expect(numbers(ends.a.arrived)).toEqual(all);
    expect(numbers(ends.b.arrived)).toEqual(all);
    expect(ends.a.session.keys.rekeys).toBeGreaterThanOrEqual(4);
    expect([ends.a.keys.size, ends.b.keys.size]).toEqual([1, 1]);
    // No key seals two datagrams with one counter, and no index is used twice.
    const nonces = ends.seen.map(({ bytes }) => Buffer.from(bytes.subarray(0, 12)).toString("hex"));
    expect(new Set(nonces).size).toBe(nonces.length);
    for (const end of [ends.a, ends.b]) expect(new Set(end.indices).size).toBe(end.indices.length);
    expect([ends.a.drops, ends.b.drops]).toEqual([{}, {}]);
  });

  test("what was under way when the key changed is still taken, for a while", () => {
    using ends = new Ends("chacha20poly1305");
    ends.settle();
    let held: Uint8Array | undefined;
    ends.fate = (datagram) => {
      if (held || datagram.length < 100) return [datagram];
      held = datagram;
      return [];
    };
    ends.a.send(frame(1));
    ends.run();
    for (let now = 3_000; now < REKEY_MS + 3 * REKEY_RETRY_MS; now += 500) {
      ends.a.send(frame(2));
      ends.step(now);
    }
    expect(ends.a.session.keys.rekeys).toBe(1);
    ends.deliver("b", held!);
    ends.run();
    expect(numbers(ends.b.arrived).at(-1)).toBe(1);
    ends.step(REKEY_MS + 3 * REKEY_RETRY_MS + OVERLAP_MS);
    ends.deliver("b", held!);
    ends.run();
    expect(ends.b.drops["unknownIndex"]).toBe(1);
  });

  test("no frame leaves under a key that is too old", () => {
    using ends = new Ends("aes256gcm");
    ends.settle();
    ends.fate = () => [];
    ends.a.send(frame(1));
    for (let now = 3_000; now <= REKEY_LIMIT_MS + 1_000; now += 1_000) ends.step(now);
    ends.a.send(frame(2));
    expect(ends.a.drops["keyExpired"]).toBe(1);
    ends.fate = (datagram) => [datagram];
    ends.step(REKEY_LIMIT_MS + 3_000);
    ends.a.send(frame(3));
    ends.run();
    expect(numbers(ends.b.arrived)).toEqual([3]);
  });

  test("beginning again with the same secret gives other keys, because the indices are others", () => {
    using first = new Ends("aes256gcm");
    using second = new Ends("aes256gcm", {});
    using third = new Ends("aes256gcm", { localIndex: 0x3000 });
    const sealed = [first, second, third].map((ends) => {
      ends.a.send(frame(1));
      ends.run();
      return Buffer.from(ends.seen[0]!.bytes.subarray(12)).toString("hex");
    });
    expect(sealed[0]).toBe(sealed[1]!); // only in a test: nothing here is random
    expect(sealed[2]).not.toBe(sealed[0]!);
  });

  test("an idle session says something every twenty seconds, and little else", () => {
    using ends = new Ends("aes256gcm");
    ends.settle();
    const before = ends.seen.length;
    for (let now = 3_000; now < 83_000; now += 500) ends.step(now);
    expect(ends.seen.length - before).toBeGreaterThanOrEqual(4);
    expect(ends.seen.length - before).toBeLessThanOrEqual(8);
  });
});
