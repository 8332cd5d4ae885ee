// SPDX-License-Identifier: Apache-2.0
// Probes under way and their answers, which the switch leaves in a map.
import { PROBE_SLOTS } from "../../native/bpf/maps.ts";
import { allocate, type Bytes } from "../../native/ffi.ts";
import type { BpfMap } from "../../native/libbpf/map.ts";
import type { ShortId } from "../mesh/peer-name.ts";
import { decodeProbeAnswer } from "./datapath-codec.ts";

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
  readonly #key = allocate(4);
  readonly #keyView = new DataView(this.#key.buffer);
  readonly #state: Bytes;
  readonly #stateView: DataView;

  constructor(answers: BpfMap) {
    this.#answers = answers;
    this.#state = allocate(answers.valueBytes);
    this.#stateView = new DataView(this.#state.buffer);
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
      this.#keyView.setUint32(0, neighbour, true);
      if (!this.#answers.read(this.#key, this.#state)) {
        this.#outstanding.delete(neighbour); // no neighbour any more
        continue;
      }
      const answered = waiting.flatMap((sequence) => this.#reply(neighbour, sequence) ?? []);
      const left = waiting.filter((sequence) => !answered.some((reply) => reply.sequence === sequence));
      if (left.length === 0) this.#outstanding.delete(neighbour);
      else this.#outstanding.set(neighbour, left);
      yield* answered; // who hears of them may send again
    }
  }
  #reply(neighbour: ShortId, sequence: number): ProbeReply | undefined {
    const answer = decodeProbeAnswer(this.#stateView, sequence);
    return answer && { neighbour, sequence, rttMs: answer.rttNs / 1e6, bytes: answer.bytes };
  }
}
