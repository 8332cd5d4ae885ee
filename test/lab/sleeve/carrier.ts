// SPDX-License-Identifier: Apache-2.0
// A sleeve in a process of its own, so that it can live in another network namespace: orders come as lines of JSON, what happens is told the
// same way. Ends with its standard input.
import { Sleeve } from "../../../src/host/sleeve.ts";
import type { ShortId } from "../../../src/mesh/peer-name.ts";
import type { Ip } from "../../../src/net/ip.ts";
import type { SleeveCipher } from "../../../src/overlay/carriers.ts";

export interface Opening {
  readonly neighbour: number;
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** Hexadecimal. */
  readonly secret: string | undefined;
  readonly initiator: boolean;
  readonly cipher: SleeveCipher;
  readonly address: string;
  readonly port: number;
}
export type Order =
  | { readonly do: "open"; readonly session: Opening }
  | { readonly do: "close"; readonly localIndex: number }
  | { readonly do: "figures" };

function tell(event: unknown): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

async function run(options: Parameters<typeof Sleeve.open>[0]): Promise<void> {
  await using sleeve = await Sleeve.open(options, {
    mtu: (localIndex, bytes) => tell({ event: "mtu", localIndex, bytes }),
    moved: (localIndex, address, port) => tell({ event: "moved", localIndex, address, port }),
    failed: (reason) => tell({ event: "failed", reason }),
  });
  tell({ event: "ready" });
  for await (const line of console) {
    const order = JSON.parse(line) as Order;
    if (order.do === "figures") tell({ event: "figures", figures: await sleeve.figures() });
    else if (order.do === "close") sleeve.closeSession(order.localIndex);
    else {
      const { neighbour, address, secret, ...rest } = order.session;
      sleeve.openSession({
        ...rest,
        neighbour: neighbour as ShortId,
        address: address as Ip,
        secret: secret === undefined ? undefined : Uint8Array.fromHex(secret),
      });
    }
  }
}

if (import.meta.main) await run(JSON.parse(process.argv[2] ?? "{}") as Parameters<typeof Sleeve.open>[0]);
