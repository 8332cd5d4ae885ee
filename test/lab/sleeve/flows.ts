// SPDX-License-Identifier: Apache-2.0
// Datagrams between guests, every byte compared.
import { Arena, allocate } from "../../../native/ffi.ts";
import { close } from "../../../native/libc/fd.ts";
import { Messages } from "../../../native/libc/messages.ts";
import { AF, inetAddress } from "../../../native/libc/sockaddr.ts";
import { bind, recv, SO, SOCK, SOL_SOCKET, setIntOption, socket } from "../../../native/libc/socket.ts";
import { type Ip, ipBytes, isIpv6 } from "../../../src/net/ip.ts";
import { inNetns } from "../../support/libc.ts";
import { waitFor } from "../../support/wait.ts";
import { noise } from "../switch/transfer.ts";
import { type Guest, netnsPath } from "../switch/world.ts";

const SOL_UDP = 17;
const UDP_SEGMENT = 103;

/** Sends datagrams of these sizes, each `segmentBytes` cut by the sender's kernel or later when it is not 0. What arrived, in order. */
export async function datagrams(
  from: Guest,
  to: Guest,
  address: Ip,
  sizes: readonly number[],
  segmentBytes = 0,
): Promise<Uint8Array[]> {
  const family = isIpv6(address) ? AF.INET6 : AF.INET;
  const name = inetAddress(ipBytes(address), 7_777);
  const open = (guest: Guest) => inNetns(netnsPath(guest.netns), () => socket(family, SOCK.DGRAM | SOCK.NONBLOCK, 0));
  const [source, sink] = [open(from), open(to)];
  try {
    setIntOption(sink, SOL_SOCKET, SO.RCVBUFFORCE, 16 << 20, "SO_RCVBUFFORCE");
    bind(sink, name);
    const memory = new Arena(allocate(65_536));
    memory.bytes.set(noise(65_536));
    const to = new Arena(name);
    const messages = new Messages(1);
    for (const [i, size] of sizes.entries()) {
      memory.view.setUint32(0, i);
      messages.setPayload(0, memory, 0, size);
      messages.setName(0, to, 0, name.length);
      if (segmentBytes > 0) messages.setControl16(0, SOL_UDP, UDP_SEGMENT, segmentBytes);
      else messages.clearControl(0);
      const sent = messages.send(source, 0, 1, 0);
      if (sent !== 1) throw new Error(`a datagram of ${size} bytes was not sent: errno ${-sent}`);
    }
    const expected = sizes.reduce((count, size) => count + (segmentBytes > 0 ? Math.ceil(size / segmentBytes) : 1), 0);
    const into = allocate(65_536);
    const arrived: Uint8Array[] = [];
    await waitFor(
      `${expected} datagrams`,
      () => {
        for (let got = recv(sink, into); got !== undefined; got = recv(sink, into)) arrived.push(into.slice(0, got));
        return arrived.length >= expected;
      },
      { deadlineMs: 5_000, everyMs: 2, show: () => arrived.length },
    );
    return arrived;
  } finally {
    close(source);
    close(sink);
  }
}

/** What `datagrams` should give. */
export function expectedDatagrams(sizes: readonly number[], segmentBytes = 0): Uint8Array[] {
  const bytes = noise(65_536);
  return sizes.flatMap((size, i) => {
    const datagram = bytes.slice(0, size);
    new DataView(datagram.buffer).setUint32(0, i);
    if (segmentBytes === 0) return [datagram];
    return Array.from({ length: Math.ceil(size / segmentBytes) }, (_, piece) =>
      datagram.slice(piece * segmentBytes, (piece + 1) * segmentBytes),
    );
  });
}
