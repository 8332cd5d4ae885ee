// SPDX-License-Identifier: Apache-2.0
// Probes under way and their answers, which the switch leaves in a map.
import { PROBE_SLOTS } from "../../native/bpf/maps.ts";
import type { BpfMap } from "../../native/libbpf/map.ts";
import type { ShortId } from "../mesh/peer-name.ts";
import { decodeProbeAnswers, encodeU32 } from "./datapath-codec.ts";

export interface ProbeReply {
  readonly neighbour: ShortId;
  readonly sequence: number;
  readonly rttMs: number;
  /** Length of the inner frame, Ethernet header included. */
  readonly bytes: number;
}

export class Probes {
  readonly #answers: BpfMap;
  readonly #outstanding = new Map<ShortId, number[]>(); // sequences, oldest first; as many as the switch has slots

  constructor(answers: BpfMap) {
    this.#answers = answers;
  }

  sent(neighbour: ShortId, sequence: number): void {
    const waiting = this.#outstanding.get(neighbour) ?? [];
    waiting.push(sequence >>> 0);
    if (waiting.length > PROBE_SLOTS) waiting.shift(); // its answer would be overwritten by a later one
    this.#outstanding.set(neighbour, waiting);
  }

  /** Answers since the last call, each once. Costs one system call for each neighbour with a probe under way, nothing without. */
  *replies(): Generator<ProbeReply> {
    for (const [neighbour, waiting] of [...this.#outstanding]) {
      const state = this.#answers.get(encodeU32(neighbour));
      if (state === undefined) {
        this.#outstanding.delete(neighbour); // no neighbour any more
        continue;
      }
      for (const { sequence, rttNs, bytes } of decodeProbeAnswers(state)) {
        const at = waiting.indexOf(sequence);
        if (at < 0) continue;
        waiting.splice(at, 1);
        yield { neighbour, sequence, rttMs: rttNs / 1e6, bytes };
      }
      if (waiting.length === 0) this.#outstanding.delete(neighbour);
    }
  }
}
