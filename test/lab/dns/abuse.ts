// SPDX-License-Identifier: Apache-2.0
// A hostile client, run inside a lab host: `bun abuse.ts IP`. Opens hundreds of TCP connections that say nothing or nonsense, and sends datagrams of
// noise and of damaged questions. Ends when all is sent.
import dnsPacket from "dns-packet";

const hostname = process.argv[2] ?? "127.0.0.1";
const flags = dnsPacket.RECURSION_DESIRED;
const question = dnsPacket.encode({ type: "query", id: 1, flags, questions: [{ type: "A", name: "web.weave.local" }] });

const open = async (): Promise<void> => {
  const noise = crypto.getRandomValues(new Uint8Array(64));
  await Bun.connect({
    hostname,
    port: 53,
    socket: { open: (socket) => void socket.write(noise), data: () => {}, error: () => {} },
  }).catch(() => undefined);
};
await Promise.all(Array.from({ length: 500 }, open));

const socket = await Bun.udpSocket({ connect: { hostname, port: 53 }, socket: { data: () => {} } });
for (let round = 0; round < 5000; round++) {
  const bytes = round % 2 === 0 ? crypto.getRandomValues(new Uint8Array(round % 600)) : Uint8Array.from(question);
  if (round % 2 === 1)
    for (let i = 0; i < 3; i++) bytes[Math.floor(Math.random() * bytes.length)] = Math.floor(Math.random() * 256);
  socket.send(bytes);
}
process.stdout.write("done\n");
process.exit(0);
