// SPDX-License-Identifier: Apache-2.0
// The control port of a real daemon under mutated handshakes, and what an operator reads when a peer cannot be reached.
//
//   h1 ── h2      evil: a third machine on the segment, without weave
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, readFileSync } from "node:fs";
import { seededRandom } from "../../src/runtime/random.ts";
import { endOf } from "../support/handshake.ts";
import type { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { inNetns } from "../support/libc.ts";
import { wire } from "../support/shapes.ts";
import { waitFor } from "../support/wait.ts";
import { connectByApi, launch, neighboursOf, statusOf } from "../support/weave.ts";

const PORT = 6_783;
/** The daemon begins 20 a second, so this takes half a minute. */
const MUTATED_HANDSHAKES = 600;
const AT_ONCE = 6; // below the limit per address
const GROWTH_BYTES_MAX = 24 << 20;

let lab: Lab;
let h1: Host;
let h2: Host;
let evil: Host;

beforeAll(async () => {
  const wired = await wire("full", 3);
  ({ lab } = wired);
  [h1, h2, evil] = wired.hosts as [Host, Host, Host];
  await launch(h1, ...flags(), "late-host");
});
afterAll(async () => await lab?.close());

/** The segment is trusted, because without an encrypted transport a password alone leaves a connection pending. */
function flags(): string[] {
  return ["--password", "secret", "--trusted-subnets", h1.address.replace(/\d+$/, "0/24")];
}

/** What h1 says of its connection to a target. */
async function reasonAt(target: string): Promise<string> {
  const { connections } = (await statusOf(h1)).router;
  return connections.find(({ address }) => address.startsWith(target))?.reason ?? "";
}

describe("a target that cannot be reached says why", () => {
  const cases: readonly (readonly [what: string, target: () => string, reason: RegExp, prepare?: () => Promise<unknown>])[] = [
    ["nobody listens", () => `${h2.address}:1`, /^dial tcp [\d.]+:1: connect: connection refused$/],
    ["nobody listens, IPv6", () => `[${h2.address6}]:1`, /^dial tcp \[[\da-f:]+\]:1: connect: connection refused$/],
    ["nobody is there", () => h1.address.replace(/\d+$/, "222"), /^dial tcp [\d.]+:6783: connect: no route to host$/],
    ["no route leads there", () => "203.0.113.9", /^dial tcp 203.0.113.9:6783: connect: network is unreachable$/],
    [
      "packets vanish",
      () => h1.address.replace(/\d+$/, "223"),
      /^dial tcp [\d.]+:6783: i\/o timeout$/,
      () => h1.must(["ip", "neigh", "add", h1.address.replace(/\d+$/, "223"), "lladdr", "02:00:00:00:00:df", "dev", "e1"]),
    ],
  ];
  for (const [what, target, reason, prepare] of cases) {
    test(what, async () => {
      await prepare?.();
      await connectByApi(h1, target());
      await waitFor(`the reason for ${target()}`, async () => reason.test(await reasonAt(target())), {
        deadlineMs: 9_000,
        everyMs: 100,
        show: () => reasonAt(target()),
      });
      await h1.mustWeave("forget", target());
    });
  }

  test("a name given at launch is asked for again at every attempt: it may come to life", async () => {
    await waitFor("the first failure", async () => /^dial tcp: lookup late-host: /.test(await reasonAt("late-host")));
    await launch(h2, ...flags(), "--no-discovery");
    appendFileSync(h1.file("/etc/hosts"), `${h2.address} late-host\n`);
    await waitFor("the connection", async () => neighboursOf(await statusOf(h1)).includes("h2"), {
      deadlineMs: 90_000, // the last back-off may be the longest, 60 s
      show: async () => `${await reasonAt("late-host")}${await h1.daemonLog()}`,
    });
  }, 100_000);
});

describe("mutated handshakes", () => {
  test(`${MUTATED_HANDSHAKES} of them cost bounded memory, make no peer, and leave the others alone`, async () => {
    const pid = h1.daemonPid() ?? 0;
    const random = seededRandom(4_711);
    await attack(random, MUTATED_HANDSHAKES / 3);
    const before = residentBytes(pid);
    await attack(random, (MUTATED_HANDSHAKES * 2) / 3);
    expect(residentBytes(pid) - before).toBeLessThan(GROWTH_BYTES_MAX);
    expect(h1.daemonPid()).toBe(pid);
    expect(neighboursOf(await statusOf(h1))).toEqual(["h2"]);
  }, 120_000);
});

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1_024;
}

async function attack(random: ReturnType<typeof seededRandom>, count: number): Promise<void> {
  for (let done = 0; done < count; done += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => mutatedHandshake(random)));
  }
}

/** Speaks the true protocol with a guessed password, one flight of it changed, until the daemon hangs up. */
async function mutatedHandshake(random: ReturnType<typeof seededRandom>): Promise<void> {
  const handshake = endOf(true, { passwords: random.below(2) === 0 ? ["guess"] : ["secret"] });
  const flight = random.below(3);
  let sent = 0;
  let isOver = false;
  /** Behind the changed flight nothing follows, so the daemon does not have to wait for its deadline. */
  const send = (socket: Bun.Socket<undefined>, bytes: Uint8Array): void => {
    const isChanged = sent++ === flight;
    // A true last flight with something behind it would be a link, made by somebody who knows the password.
    socket.write(isChanged ? mutate(random, bytes, flight === 2 ? 2 : 4) : bytes);
    if (isChanged) socket.shutdown();
  };
  const over = (): void => {
    isOver = true;
  };
  const connecting = inNetns(evil.netns, () =>
    Bun.connect({
      hostname: h1.address,
      port: PORT,
      socket: {
        open: (socket) => send(socket, handshake.start()),
        data(socket, bytes) {
          if (isOver) return;
          const step = handshake.receive(bytes);
          send(socket, step.send);
          if (step.state !== "continue") socket.end();
        },
        close: over,
        error: over,
        end: over,
      },
    }),
  );
  const socket = await connecting.catch(() => undefined); // turned away so early that Bun calls it a failed connect
  if (!socket) return;
  await waitFor("the end", () => isOver, { everyMs: 2 });
  socket.terminate();
}

function mutate(random: ReturnType<typeof seededRandom>, bytes: Uint8Array, kinds: number): Uint8Array {
  const changed = bytes.slice();
  switch (random.below(kinds)) {
    case 0: // some bits
      for (let i = 0; i <= random.below(4); i++) changed[random.below(Math.max(1, changed.length))]! ^= 1 << random.below(8);
      return changed;
    case 1: // cut off
      return changed.slice(0, random.below(changed.length + 1));
    case 2: // followed by noise
      return Uint8Array.from([...changed, ...Array.from({ length: random.below(3_000) }, () => random.below(256))]);
    default: // twice
      return Uint8Array.from([...changed, ...changed]);
  }
}
