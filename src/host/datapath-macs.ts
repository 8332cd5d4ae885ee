// SPDX-License-Identifier: Apache-2.0
// The switch's MAC table, which the switch itself fills: reading it, and forgetting on purpose.
import { MAC_ENTRY } from "../../native/bpf/maps.ts";
import { kernelNanoseconds } from "../../native/libbpf/ktime.ts";
import type { BpfMap } from "../../native/libbpf/map.ts";
import type { BpfObject } from "../../native/libbpf/object.ts";
import type { ShortId } from "../mesh/peer-name.ts";
import type { Mac } from "../net/mac.ts";
import { decodeMacKey, encodeMacKey, readMacEntry } from "./datapath-codec.ts";
import { nextGeneration, readSettings } from "./datapath-settings.ts";

export interface LearnedMac {
  readonly mac: Mac;
  /** 0: on this host. */
  readonly peer: ShortId | 0;
  /** 0: remote, or behind the bridge at a link that is no port of ours. */
  readonly ifindex: number;
  readonly ageMs: number;
}

const MAC_KEY_BYTES = 8;
const NS_PER_MS = 1_000_000n;

export class MacTable {
  readonly #object: BpfObject;
  readonly #macs: BpfMap;

  constructor(object: BpfObject) {
    this.#object = object;
    this.#macs = object.map("macs");
  }

  /** Entries that have aged left out. 65,000 take some 60 ms. */
  list(): LearnedMac[] {
    const now = kernelNanoseconds();
    const { ageNs } = readSettings(this.#object);
    const found: LearnedMac[] = [];
    for (const { count, keys, values } of this.#macs.chunks()) {
      for (let i = 0; i < count; i++) {
        const { peer, ifindex, stampNs } = readMacEntry(values, i * MAC_ENTRY.size);
        const age = now > stampNs ? now - stampNs : 0n;
        if (age > ageNs) continue;
        const mac = decodeMacKey(keys, i * MAC_KEY_BYTES);
        found.push({ mac, peer: peer as ShortId | 0, ifindex, ageMs: Number(age / NS_PER_MS) });
      }
    }
    return found;
  }

  forget(mac: Mac): void {
    if (this.#macs.delete(encodeMacKey(mac))) nextGeneration(this.#object);
  }

  /** All those of a port; `only` is the one it has, when it is guarded. */
  forgetPort(ifindex: number, only: Mac | undefined): void {
    const isThere = (value: Uint8Array | undefined) => value !== undefined && readMacEntry(value, 0).ifindex === ifindex;
    if (only !== undefined) {
      const key = encodeMacKey(only);
      if (isThere(this.#macs.get(key))) this.#macs.delete(key);
      return;
    }
    for (const [key, value] of this.#macs.entries()) if (isThere(value)) this.#macs.delete(key);
  }
}
