// SPDX-License-Identifier: Apache-2.0
// Starting, failing and starting again of the sleeve.
import { expect, test } from "bun:test";
import { type RunningSleeve, SleeveControl, type SleeveNews } from "../../../src/daemon/sleeve-control.ts";
import type { ShortId } from "../../../src/mesh/peer-name.ts";
import type { Ip } from "../../../src/net/ip.ts";
import type { SleeveSession } from "../../../src/overlay/carriers.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { manualClock } from "../mesh/builders.ts";

function session(localIndex: number): SleeveSession {
  return {
    neighbour: 2 as ShortId,
    localIndex,
    remoteIndex: 9,
    secret: undefined,
    initiator: true,
    cipher: "none",
    address: "10.0.0.2" as Ip,
    port: 6783,
  };
}

class FakeSleeve implements RunningSleeve {
  readonly did: string[] = [];
  openSession({ localIndex }: SleeveSession): void {
    this.did.push(`open ${localIndex}`);
  }
  closeSession(localIndex: number): void {
    this.did.push(`close ${localIndex}`);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.did.push("ended");
  }
}

function build() {
  const { clock, advance } = manualClock();
  const starts: { news: SleeveNews; arrive: PromiseWithResolvers<RunningSleeve> }[] = [];
  const lost: string[] = [];
  const control = new SleeveControl(["chacha20poly1305"], {
    clock,
    log: silentLog,
    start: (news) => {
      const arrive = Promise.withResolvers<RunningSleeve>();
      starts.push({ news, arrive });
      return arrive.promise;
    },
    mtu: () => {},
    lost: (reason) => void lost.push(reason),
  });
  return { control, starts, lost, advance };
}

test("starts with the first session; what is asked meanwhile is done in order, what was taken back is not", async () => {
  const { control, starts } = build();
  expect(starts.length).toBe(0);
  control.openSession(session(1));
  control.openSession(session(2));
  control.closeSession(1);
  expect(starts.length).toBe(1);
  const sleeve = new FakeSleeve();
  starts[0]!.arrive.resolve(sleeve);
  await starts[0]!.arrive.promise;
  control.openSession(session(3));
  control.closeSession(2);
  expect(sleeve.did).toEqual(["open 2", "open 3", "close 2"]);
});

test("a failure loses the sessions and starts anew after a pause that grows", async () => {
  const { control, starts, lost, advance } = build();
  control.openSession(session(1));
  const sleeve = new FakeSleeve();
  starts[0]!.arrive.resolve(sleeve);
  await starts[0]!.arrive.promise;
  starts[0]!.news.failed("its link went away");
  await Promise.resolve();
  expect(sleeve.did).toEqual(["open 1", "ended"]);
  expect(lost).toEqual(["the sleeve failed: its link went away"]);
  control.openSession(session(4));
  advance(100);
  expect(starts.length).toBe(2);
  starts[1]!.arrive.reject(new Error("no memory"));
  await starts[1]!.arrive.promise.catch(() => {});
  await Promise.resolve();
  advance(150);
  expect(starts.length).toBe(2);
  advance(50);
  expect(starts.length).toBe(3);
});
