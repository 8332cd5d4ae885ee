// SPDX-License-Identifier: Apache-2.0
// The one element that tells the switch who and where it is.
import type { BpfObject } from "../../native/libbpf/object.ts";
import { decodeSettings, encodeSettings, encodeU32, type Settings } from "./datapath-codec.ts";

export function readSettings(object: BpfObject): Settings {
  const bytes = object.map("settings").get(encodeU32(0));
  if (bytes === undefined) throw new TypeError("the settings of the switch have no element");
  return decodeSettings(bytes);
}

/** Field by field for the switch: none depends on another. */
export function changeSettings(object: BpfObject, change: Partial<Settings>): void {
  object.map("settings").set(encodeU32(0), encodeSettings({ ...readSettings(object), ...change }));
}

/** Ports remember their last source; a new generation makes them look it up again. */
export function nextGeneration(object: BpfObject): void {
  changeSettings(object, { generation: (readSettings(object).generation + 1) >>> 0 });
}
