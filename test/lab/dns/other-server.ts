// SPDX-License-Identifier: Apache-2.0
// A name server of somebody else, run inside a lab host: `bun other-server.ts IP`. Answers every A question with 192.0.2.1, and before each right
// answer gives a wrong one, with another id.
import dnsPacket from "dns-packet";

const socket = await Bun.udpSocket({
  hostname: process.argv[2] ?? "127.0.0.1",
  port: 53,
  socket: {
    data(own, data, port, address) {
      const { id = 0, questions = [] } = dnsPacket.decode(Buffer.from(data));
      const name = questions[0]?.name ?? "";
      const reply = (replyId: number, ip: string): void => {
        const answers = [{ type: "A" as const, name, ttl: 60, data: ip }];
        own.send(dnsPacket.encode({ type: "response", id: replyId, questions, answers }), port, address);
      };
      reply(id ^ 0xff, "192.0.2.66");
      reply(id, "192.0.2.1");
    },
  },
});
process.stdout.write(`listening ${socket.port}\n`);
