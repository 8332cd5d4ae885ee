// SPDX-License-Identifier: Apache-2.0
// When the kernel's map of probe answers is looked at.
import { expect, test } from "bun:test";
import type { ShortId } from "../../../src/mesh/peer-name.ts";
import { ProbePoller, type ProbeReply } from "../../../src/overlay/probe-poller.ts";
import type { Clock } from "../../../src/runtime/clock.ts";

const SHORT = 3 as ShortId;

function build() {
  let now = 0;
  let timers: { at: number; fire: () => void }[] = [];
  const clock: Clock = {
    now: () => now,
    wallMs: () => now,
    after(delayMs, fire) {
      const timer = { at: now + delayMs, fire };
      timers.push(timer);
      return {
        [Symbol.dispose]: () => {
          timers = timers.filter((one) => one !== timer);
        },
      };
    },
  };
  const advance = (ms: number) => {
    const end = now + ms;
    for (;;) {
      const next = timers.sort((a, b) => a.at - b.at)[0];
      if (!next || next.at > end) break;
      timers.shift();
      now = next.at;
      next.fire();
    }
    now = end;
  };
  const kernel = { looks: 0, replies: [] as ProbeReply[] };
  const answers: number[] = [];
  const rtts: number[] = [];
  const expired: number[] = [];
  const poller = new ProbePoller({
    clock,
    replies: () => {
      kernel.looks++;
      return kernel.replies.splice(0);
    },
    answered: (sequence, rttMs) => {
      answers.push(sequence);
      rtts.push(rttMs);
    },
    expired: (sequence) => void expired.push(sequence),
  });
  return { poller, kernel, answers, rtts, expired, advance };
}

test("an answer is told within a millisecond, and then nobody looks any more", () => {
  const { poller, kernel, answers, advance } = build();
  poller.sent(SHORT, 1, "urgent");
  kernel.replies.push({ neighbour: SHORT, sequence: 1, rttMs: 0.1 });
  advance(1);
  expect(answers).toEqual([1]);
  const { looks } = kernel;
  advance(10_000);
  expect(kernel.looks).toBe(looks);
});

test("a late answer is told, a lost one costs few looks and is given up", () => {
  const { poller, kernel, answers, expired, advance } = build();
  poller.sent(SHORT, 1, "urgent");
  advance(900);
  kernel.replies.push({ neighbour: SHORT, sequence: 1, rttMs: 900 });
  advance(50);
  expect(answers).toEqual([1]);
  kernel.looks = 0;
  poller.sent(SHORT, 2, "urgent");
  advance(20_000);
  expect(kernel.looks).toBeLessThan(150);
  expect(answers).toEqual([1]);
  expect(expired).toEqual([2]);
});

test("a calm probe whose answer is found by who looks costs no further look", () => {
  const { poller, kernel, answers, advance } = build();
  poller.sent(SHORT, 1, "calm");
  kernel.replies.push({ neighbour: SHORT, sequence: 1, rttMs: 0.1 });
  poller.look();
  expect(answers).toEqual([1]);
  advance(10_000);
  expect(kernel.looks).toBe(1);
});

test("the answer to a calm probe is told within 200 ms, for one look; a lost one is given up after few", () => {
  const { poller, kernel, answers, expired, advance } = build();
  poller.sent(SHORT, 1, "calm");
  kernel.replies.push({ neighbour: SHORT, sequence: 1, rttMs: 30 });
  advance(200);
  expect(answers).toEqual([1]);
  expect(kernel.looks).toBe(1);
  poller.sent(SHORT, 2, "calm");
  advance(20_000);
  expect(expired).toEqual([2]);
  expect(kernel.looks).toBeLessThan(15);
});

test("an urgent probe is looked for at once although a calm one waits, and brings its answer too", () => {
  const { poller, kernel, answers, advance } = build();
  poller.sent(SHORT, 1, "calm");
  kernel.replies.push({ neighbour: SHORT, sequence: 1, rttMs: 0.1 });
  advance(100);
  expect(kernel.looks).toBe(0);
  poller.sent(SHORT, 2, "urgent");
  kernel.replies.push({ neighbour: SHORT, sequence: 2, rttMs: 0.1 });
  advance(1);
  expect(answers).toEqual([1, 2]);
});

test("answers nobody waits for, and of strangers, are not told", () => {
  const { poller, kernel, answers, advance } = build();
  poller.sent(SHORT, 5, "urgent");
  kernel.replies.push({ neighbour: SHORT, sequence: 4, rttMs: 1 }, { neighbour: 9 as ShortId, sequence: 5, rttMs: 1 });
  advance(5);
  expect(answers).toEqual([]);
});

test("a round trip is never longer than the probe has been away, whatever the answer says", () => {
  const { poller, kernel, rtts, advance } = build();
  poller.sent(SHORT, 1, "urgent");
  kernel.replies.push({ neighbour: SHORT, sequence: 1, rttMs: 86_400_000 });
  advance(100);
  expect(rtts.length).toBe(1);
  expect(rtts[0]).toBeLessThanOrEqual(1);
});
