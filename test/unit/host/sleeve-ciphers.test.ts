// SPDX-License-Identifier: Apache-2.0
// One key in two libraries: whichever seals, the bytes are the same, and no counter is used for two packets.
import { expect, test } from "bun:test";
import { Arena } from "../../../native/ffi.ts";
import { SodiumCipher } from "../../../native/libsodium/packet-cipher.ts";
import type { PacketCipher } from "../../../native/packet-cipher.ts";
import { loadOpenssl, SleevePacketCipher, sleeveCiphers } from "../../../src/host/sleeve-ciphers.ts";

const KEY = Uint8Array.from({ length: 32 }, (_, i) => i * 5);
const LENGTHS = [1_400, 0, 511, 512, 1_400, 20, 9_000];

/** Packets of these lengths under the counters from `first` on. */
function sealedBy(cipher: PacketCipher, first: number): Uint8Array[] {
  return LENGTHS.map((length, i) => {
    const memory = Arena.allocate(12 + length + 16);
    memory.bytes.fill(i + 1, 0, 12 + length);
    cipher.setCounter(1, first + i);
    cipher.seal(memory, 12, length, memory, 0, 12);
    return memory.bytes;
  });
}

test("before and after OpenSSL was loaded every packet has the counter that was set for it, and the other end opens it", () => {
  for (const name of sleeveCiphers()) {
    if (name === "none") continue;
    using sodium = new SodiumCipher(name, KEY);
    using cipher = new SleevePacketCipher(name, KEY);
    using other = new SleevePacketCipher(name, KEY);
    expect(sealedBy(cipher, 0)).toEqual(sealedBy(sodium, 0));
    loadOpenssl();
    const sealed = sealedBy(cipher, 100);
    expect(sealed).toEqual(sealedBy(sodium, 100));
    for (const [i, bytes] of sealed.entries()) {
      other.setCounter(1, 100 + i);
      expect(other.open(new Arena(bytes as Uint8Array<ArrayBuffer>), 0, 12, bytes.length - 12)).toBe(true);
    }
  }
});

test("one that is closed seals nothing, rather than with a key of zeros", () => {
  const cipher = new SleevePacketCipher("chacha20poly1305", KEY);
  cipher[Symbol.dispose]();
  for (const length of [20, 1_400]) {
    const memory = Arena.allocate(12 + length + 16);
    expect(() => cipher.seal(memory, 12, length, memory, 0, 12)).toThrow(TypeError);
    expect(() => cipher.open(memory, 0, 12, length)).toThrow(TypeError);
  }
});
