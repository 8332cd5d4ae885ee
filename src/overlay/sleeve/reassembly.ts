// SPDX-License-Identifier: Apache-2.0
// Which pieces of which frames have come. Pieces are authentic but may come in any order, and a peer's mistake must not show it what the memory
// held before: a frame is whole when each of its bytes has come once. What is missing after a while is given up. The bytes themselves lie
// with the caller, in SLOTS places of FRAME_BYTES_MAX.
import { FRAME_BYTES_MAX, FRAGMENT_UNIT_BYTES as UNIT } from "./datagram.ts";

export const REASSEMBLY_SLOTS = 32;
/** Of one neighbour, so that it cannot push out the others' frames. */
const SLOTS_EACH = 16;
export const REASSEMBLY_MS = 1_000;
const WORDS = Math.ceil(FRAME_BYTES_MAX / UNIT / 32);

class Slot {
  readonly index: number;
  owner: object | undefined;
  id = 0;
  total = 0;
  missing = 0;
  since = 0;
  readonly #come = new Uint32Array(WORDS);

  constructor(index: number) {
    this.index = index;
  }
  begin(owner: object, id: number, total: number, now: number): void {
    this.owner = owner;
    this.id = id;
    this.total = total;
    this.missing = total;
    this.since = now;
    this.#come.fill(0);
  }
  /** False: some of it had come before. */
  take(offset: number, length: number): boolean {
    const first = offset / UNIT;
    const after = Math.ceil((offset + length) / UNIT);
    for (let unit = first; unit < after; unit++) if ((this.#come[unit >>> 5]! & (1 << (unit & 31))) !== 0) return false;
    for (let unit = first; unit < after; unit++) this.#come[unit >>> 5]! |= 1 << (unit & 31);
    this.missing -= length;
    return true;
  }
}

export class Reassembly {
  readonly #slots = Array.from({ length: REASSEMBLY_SLOTS }, (_, index) => new Slot(index));
  /** Frames given up so far. */
  lost = 0;

  /** Where the piece belongs: the number of its frame's place; its bytes go `offset` into it. -1: it makes no sense, or has come before. */
  take(owner: object, id: number, offset: number, length: number, total: number, now: number): number {
    const end = offset + length;
    if (length === 0 || total > FRAME_BYTES_MAX || end > total) return -1;
    if (offset % UNIT !== 0 || (length % UNIT !== 0 && end !== total)) return -1;
    const slot = this.#find(owner, id, total) ?? this.#begin(owner, id, total, now);
    return slot.take(offset, length) ? slot.index : -1;
  }
  /** Length of the frame in this place when it is whole; the place is free again. 0: pieces are missing. */
  finish(index: number): number {
    const slot = this.#slots[index];
    if (slot?.owner === undefined || slot.missing > 0) return 0;
    slot.owner = undefined;
    return slot.total;
  }
  /** Nothing more comes from it. */
  forget(owner: object): void {
    for (const slot of this.#slots) if (slot.owner === owner) slot.owner = undefined;
  }

  #find(owner: object, id: number, total: number): Slot | undefined {
    for (const slot of this.#slots) if (slot.owner === owner && slot.id === id && slot.total === total) return slot;
    return undefined;
  }
  #begin(owner: object, id: number, total: number, now: number): Slot {
    const slot = this.#free(owner, now);
    slot.begin(owner, id, total, now);
    return slot;
  }
  #free(owner: object, now: number): Slot {
    let free: Slot | undefined;
    let oldest: Slot | undefined;
    let oldestOwn: Slot | undefined;
    let own = 0;
    for (const slot of this.#slots) {
      if (slot.owner !== undefined && now - slot.since > REASSEMBLY_MS) {
        slot.owner = undefined;
        this.lost++;
      }
      if (slot.owner === undefined) {
        free ??= slot;
        continue;
      }
      if (oldest === undefined || slot.since < oldest.since) oldest = slot;
      if (slot.owner !== owner) continue;
      own++;
      if (oldestOwn === undefined || slot.since < oldestOwn.since) oldestOwn = slot;
    }
    const taken = own >= SLOTS_EACH ? oldestOwn : free === undefined ? oldest : undefined;
    if (taken !== undefined) this.lost++;
    return taken ?? free ?? this.#slots[0]!; // there are slots
  }
}
