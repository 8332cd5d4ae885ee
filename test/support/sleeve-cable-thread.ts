// SPDX-License-Identifier: Apache-2.0
// The thread of a SleeveCable. It blocks in poll(2), so the memory it shares tells it when to end.
import { CaptureEnd } from "./capture-end.ts";
import { waitReadable } from "./libc.ts";
import { CABLE_STATE, type CableEnd } from "./sleeve-cable.ts";

declare const self: Worker;
const POLL_MS = 20;
const PROBE_MAGIC = [0x02, 0x77, 0x76, 0x70];

self.addEventListener("message", (event: MessageEvent<{ ends: readonly CableEnd[]; state: Int32Array }>) => {
  const { ends, state } = event.data;
  const captures = new Map(ends.map(({ netns, id }) => [id, new CaptureEnd(netns)] as const));
  self.postMessage("ready");
  const fds = [...captures.values()].map(({ fd }) => fd);
  while (Atomics.load(state, CABLE_STATE.stop) === 0) {
    waitReadable(fds, POLL_MS);
    for (const [id, capture] of captures) {
      for (const { neighbour, vni, ttl, frame, gsoSize } of capture.drain()) {
        captures.get(neighbour)?.inject({ neighbour: id, vni, ttl }, frame, { gsoSize });
        Atomics.add(state, CABLE_STATE.frames, 1);
        if (PROBE_MAGIC.every((byte, i) => frame[i] === byte)) Atomics.add(state, CABLE_STATE.probes, 1);
        if (gsoSize > 0) Atomics.add(state, CABLE_STATE.superPackets, 1);
      }
    }
  }
  for (const capture of captures.values()) capture[Symbol.dispose]();
  self.postMessage("ended");
});
