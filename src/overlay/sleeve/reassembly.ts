// SPDX-License-Identifier: Apache-2.0
// Frames that came in pieces. Pieces are authentic and come once (the replay window sees to that), in any order; what is missing after a
// while is given up. Few frames at a time, in memory made once.
import { FRAME_BYTES_MAX } from "./datagram.ts";

const SLOTS = 32;
const PATIENCE_MS = 1_000;

interface Slot {
  readonly bytes: Uint8Array<ArrayBuffer>;
  owner: object | undefined;
  id: number;
  total: number;
  missing: number;
  since: number;
}

export class Reassembly {
  #slots: Slot[] = [];
  /** Frames given up so far. */
  lost = 0;

  /** Takes one piece of the frame `id` of `owner`. The whole frame when it was the last one; its memory is used again at the next call.
   *  undefined: more to come, or the piece makes no sense. */
  add(owner: object, id: number, offset: number, total: number, piece: Uint8Array, now: number): Uint8Array | undefined {
    if (piece.length === 0 || total > FRAME_BYTES_MAX || offset + piece.length > total) return undefined;
    const slot = this.#find(owner, id, total, now);
    slot.bytes.set(piece, offset);
    slot.missing -= piece.length;
    if (slot.missing > 0) return undefined;
    slot.owner = undefined;
    return slot.missing === 0 ? slot.bytes.subarray(0, total) : undefined;
  }
  /** Nothing more comes from it. */
  forget(owner: object): void {
    for (const slot of this.#slots) if (slot.owner === owner) slot.owner = undefined;
  }

  #find(owner: object, id: number, total: number, now: number): Slot {
    let free: Slot | undefined;
    for (const slot of this.#slots) {
      if (slot.owner !== undefined && now - slot.since > PATIENCE_MS) {
        slot.owner = undefined;
        this.lost++;
      }
      if (slot.owner === owner && slot.id === id && slot.total === total) return slot;
      if (slot.owner === undefined) free ??= slot;
    }
    free ??= this.#slots.length < SLOTS ? this.#grow() : this.#oldest();
    Object.assign(free, { owner, id, total, missing: total, since: now });
    return free;
  }
  #grow(): Slot {
    const bytes = new Uint8Array(new ArrayBuffer(FRAME_BYTES_MAX));
    const slot: Slot = { bytes, owner: undefined, id: 0, total: 0, missing: 0, since: 0 };
    this.#slots.push(slot);
    return slot;
  }
  #oldest(): Slot {
    this.lost++;
    return this.#slots.reduce((oldest, slot) => (slot.since < oldest.since ? slot : oldest));
  }
}
