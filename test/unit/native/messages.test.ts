// SPDX-License-Identifier: Apache-2.0
// Many datagrams with one call, on loopback.
import { describe, expect, test } from "bun:test";
import { ERRNO } from "../../../native/errno.ts";
import { Arena } from "../../../native/ffi.ts";
import { close, POLL } from "../../../native/libc/fd.ts";
import { copyBytes, Messages } from "../../../native/libc/messages.ts";
import { PollSet } from "../../../native/libc/poll-set.ts";
import { AF, inetAddress } from "../../../native/libc/sockaddr.ts";
import { bind, getsockname, MSG, recv, SOCK, sendTo, setIntOption, socket, socketPair } from "../../../native/libc/socket.ts";

const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;

function receiver(): { fd: number; address: Arena; bytes: number } {
  const fd = socket(AF.INET, SOCK.DGRAM | SOCK.NONBLOCK, 0);
  bind(fd, inetAddress(Uint8Array.of(127, 0, 0, 1), 0));
  const name = getsockname(fd);
  const address = Arena.allocate(name.length);
  address.bytes.set(name);
  return { fd, address, bytes: name.length };
}

describe("messages", () => {
  test("go and come in their order, each with its length and sender", () => {
    const to = receiver();
    const from = receiver();
    const memory = Arena.allocate(4_096);
    for (let i = 0; i < memory.bytes.length; i++) memory.bytes[i] = i;
    const out = new Messages(4);
    for (let i = 0; i < 4; i++) {
      out.setPayload(i, memory, i * 100, 10 + i);
      out.setName(i, to.address, 0, to.bytes);
      out.clearControl(i);
    }
    expect(out.send(from.fd, 1, 3, 0)).toBe(3);
    const into = Arena.allocate(4_096);
    const names = Arena.allocate(4 * 16);
    const back = new Messages(4);
    for (let i = 0; i < 4; i++) {
      back.setPayload(i, into, i * 1_000, 1_000);
      back.setName(i, names, i * 16, 16);
      back.offerControl(i);
    }
    expect(back.receive(to.fd, MSG.DONTWAIT)).toBe(3);
    expect([0, 1, 2].map((i) => back.lengthOf(i))).toEqual([11, 12, 13]);
    expect(into.bytes.slice(1_000, 1_012)).toEqual(memory.bytes.slice(200, 212));
    expect(names.bytes.slice(16, 24)).toEqual(from.address.bytes.slice(0, 8));
    expect(back.control32(0, SOL_UDP, UDP_GRO)).toBeUndefined();
    expect(back.receive(to.fd, MSG.DONTWAIT)).toBe(-ERRNO.EAGAIN);
    for (const { fd } of [to, from]) close(fd);
  });

  test("a run of equal datagrams is one message, and comes as one where the kernel joins them", () => {
    const to = receiver();
    const from = receiver();
    setIntOption(to.fd, SOL_UDP, UDP_GRO, 1, "UDP_GRO");
    const memory = Arena.allocate(65_536);
    const out = new Messages(1);
    out.setPayload(0, memory, 0, 2_500);
    out.setName(0, to.address, 0, to.bytes);
    out.setControl16(0, SOL_UDP, UDP_SEGMENT, 1_000);
    expect(out.send(from.fd, 0, 1, 0)).toBe(1);
    const back = new Messages(1);
    back.setPayload(0, memory, 0, 65_536);
    back.offerControl(0);
    expect(back.receive(to.fd, MSG.DONTWAIT)).toBe(1);
    expect([back.lengthOf(0), back.control32(0, SOL_UDP, UDP_GRO)]).toEqual([2_500, 1_000]);
    for (const { fd } of [to, from]) close(fd);
  });

  test("an error is the negative number of the first message's", () => {
    const from = receiver();
    const memory = Arena.allocate(70_000);
    const out = new Messages(1);
    out.setPayload(0, memory, 0, 70_000);
    out.setName(0, from.address, 0, from.bytes);
    expect(out.send(from.fd, 0, 1, 0)).toBe(-ERRNO.EMSGSIZE);
    close(from.fd);
  });

  test("bytes are copied between and within blocks", () => {
    const a = Arena.allocate(32);
    const b = Arena.allocate(32);
    a.bytes.set([1, 2, 3, 4, 5]);
    copyBytes(a, 1, b, 10, 3);
    copyBytes(a, 0, a, 2, 5);
    expect([...b.bytes.slice(9, 14)]).toEqual([0, 2, 3, 4, 0]);
    expect([...a.bytes.slice(0, 8)]).toEqual([1, 2, 1, 2, 3, 4, 5, 0]);
  });
});

describe("poll set", () => {
  test("tells which are ready, and waits no longer than it was told", () => {
    const [a, b] = socketPair(SOCK.SEQPACKET | SOCK.NONBLOCK);
    const [c, d] = socketPair(SOCK.SEQPACKET | SOCK.NONBLOCK);
    using set = new PollSet([b, d, -1]);
    expect(set.wait(0)).toBe(0);
    const message = Arena.allocate(3);
    sendTo(c, message.bytes, 3, 0, null);
    expect([set.wait(1_000), set.ready(0), set.ready(1), set.ready(2)]).toEqual([1, 0, POLL.IN, 0]);
    expect(recv(d, Arena.allocate(10).bytes)).toBe(3); // datagrams keep their boundaries
    set.watch(0, 0);
    sendTo(a, message.bytes, 3, 0, null);
    expect(set.wait(0)).toBe(0);
    for (const fd of [a, b, c, d]) close(fd);
  });
});
