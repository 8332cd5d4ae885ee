// SPDX-License-Identifier: Apache-2.0
// Flows between guests whose every byte is compared: with checksums left to the far kernel, TCP itself would not notice a wrong one.
import { Arena, allocate } from "../../../native/ffi.ts";
import { close } from "../../../native/libc/fd.ts";
import { Messages } from "../../../native/libc/messages.ts";
import { AF, inetAddress } from "../../../native/libc/sockaddr.ts";
import { bind, recv, SO, SOCK, SOL_SOCKET, setIntOption, socket } from "../../../native/libc/socket.ts";
import { type Ip, ipBytes, isIpv6 } from "../../../src/net/ip.ts";
import { inNetns } from "../../support/libc.ts";
import { waitFor } from "../../support/wait.ts";
import { type Guest, netnsPath } from "../switch/world.ts";

const SOL_UDP = 17;
const UDP_SEGMENT = 103;

/** The same bytes every time, of no short period. */
function noise(bytes: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  for (let i = 0, state = 1; i < words.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, bytes);
}

export interface Transfer {
  readonly tookMs: number;
  readonly isIntact: boolean;
}

/** Sends `bytes` over one TCP connection; done when all have arrived. @throws {Error} not within `deadlineMs` */
export async function transfer(from: Guest, to: Guest, address: string, bytes: number, deadlineMs = 20_000): Promise<Transfer> {
  const began = performance.now();
  const sent = noise(bytes);
  const hash = new Bun.CryptoHasher("sha256");
  let received = 0;
  const arrived = Promise.withResolvers<void>();
  const server = inNetns(netnsPath(to.netns), () =>
    Bun.listen({
      hostname: address,
      port: 0,
      socket: {
        data(_socket, data) {
          hash.update(data);
          received += data.length;
          if (received >= bytes) arrived.resolve();
        },
      },
    }),
  );
  let at = 0;
  const push = (client: { write(data: Uint8Array): number }) => {
    while (at < bytes) {
      const written = client.write(sent.subarray(at, at + 262_144));
      if (written <= 0) return;
      at += written;
    }
  };
  const late = setTimeout(
    () => arrived.reject(new Error(`${received} of ${bytes} bytes arrived in ${deadlineMs} ms`)),
    deadlineMs,
  );
  try {
    const connecting = inNetns(netnsPath(from.netns), () =>
      Bun.connect({ hostname: address, port: server.port, socket: { open: push, drain: push, data() {} } }),
    );
    const client = await connecting;
    await arrived.promise;
    client.end();
    return {
      tookMs: performance.now() - began,
      isIntact: hash.digest("hex") === new Bun.CryptoHasher("sha256").update(sent).digest("hex"),
    };
  } finally {
    clearTimeout(late);
    server.stop(true);
  }
}

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
