// SPDX-License-Identifier: Apache-2.0
// The sleeve carries everything between two hosts, with the real switch, Worker and kernel: every byte is compared.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Ip } from "../../../src/net/ip.ts";
import { ping } from "../switch/ping.ts";
import { transfer } from "../switch/transfer.ts";
import { type Guest, ipBatch, sh } from "../switch/world.ts";
import { datagrams, expectedDatagrams } from "./flows.ts";
import { Sleeves, type SleevesOptions } from "./sleeves.ts";

const MB = 1 << 20;
const hashes = (datagrams: readonly Uint8Array[]) => datagrams.map((bytes) => `${bytes.length} ${Bun.hash(bytes)}`);

const VARIANTS: Readonly<Record<string, Partial<SleevesOptions> & { readonly pathMtu: number }>> = {
  "AES-256-GCM": { cipher: "aes256gcm", pathMtu: 1500 },
  "ChaCha20-Poly1305": { cipher: "chacha20poly1305", pathMtu: 1500 },
  clear: { cipher: "none", pathMtu: 1500 },
  "over IPv6": { cipher: "aes256gcm", ipv6: "all", pathMtu: 1500 },
  "path smaller than the overlay": { cipher: "aes256gcm", underlayMtuBytes: 1280, pathMtu: 1280 },
  "jumbo frames": { cipher: "aes256gcm", underlayMtuBytes: 9000, overlayMtuBytes: 8900, pathMtu: 9000 },
};

/** Not every kernel has them. */
const hasVlans =
  Bun.spawnSync(["unshare", "-n", "ip", "link", "add", "link", "lo", "name", "v", "type", "vlan", "id", "7"]).exitCode === 0;

for (const [name, { pathMtu, ...options }] of Object.entries(VARIANTS)) {
  describe(name, () => {
    let sleeves: Sleeves;
    let from: Guest;
    let to: Guest;
    const addressOf = (family: "IPv4" | "IPv6") => (family === "IPv4" ? to.address : "fd32::2:1") as Ip;
    beforeAll(async () => {
      sleeves = await Sleeves.open({ cables: [["a", "b"]], ...options });
      await sleeves.settled(sleeves.world.node("a"), sleeves.world.node("b"), pathMtu);
      from = sleeves.world.guest("a");
      to = sleeves.world.guest("b");
    });
    afterAll(() => sleeves[Symbol.asyncDispose]());

    for (const family of ["IPv4", "IPv6"] as const) {
      test(`TCP over ${family}, both ways`, async () => {
        expect(await transfer(from, to, addressOf(family), 20 * MB)).toMatchObject({ isIntact: true });
        expect(await transfer(to, from, family === "IPv4" ? from.address : "fd32::1:1", 5 * MB)).toMatchObject({
          isIntact: true,
        });
      });
      test(`UDP over ${family} of every size, those the sender's kernel did not cut included`, async () => {
        const sizes = [4, 18, 100, 1_000, 1_300, 1_372, 1_400, 3_000, 20_000, 65_000];
        expect(hashes(await datagrams(from, to, addressOf(family), sizes))).toEqual(hashes(expectedDatagrams(sizes)));
        for (const segment of [100, 700, 1_200, 1_352]) {
          const supers = [segment * 3, segment * 20 + 7, segment - 1];
          const arrived = await datagrams(from, to, addressOf(family), supers, segment);
          expect(hashes(arrived)).toEqual(hashes(expectedDatagrams(supers, segment)));
        }
      });
    }
    test("ping, small and large", () => {
      // All at once: then ping(8) waits a second for the last answer, and not twice as long as for the first one.
      const pings = (address: string, bytes: number) => ping(from, address, "-c", "3", "-l", "3", "-s", `${bytes}`);
      for (const bytes of [56, 60_000]) expect(pings(to.address, bytes)).toMatchObject({ sent: 3, received: 3, duplicates: 0 });
      expect(pings("fd32::2:1", 1_300)).toMatchObject({ sent: 3, received: 3, duplicates: 0 });
    });
    test("nothing was dropped on the way for a reason of ours", async () => {
      for (const host of ["a", "b"]) {
        const { drops } = await sleeves.carrier(host).figures();
        const { tooLarge, notCut, malformed, otherMode, replayed, notAuthentic, badPiece, stranger, linkFull } = drops;
        expect({ tooLarge, notCut, malformed, otherMode, replayed, notAuthentic, badPiece, stranger, linkFull }).toEqual({
          tooLarge: 0,
          notCut: 0,
          malformed: 0,
          otherMode: 0,
          replayed: 0,
          notAuthentic: 0,
          badPiece: 0,
          stranger: 0,
          linkFull: 0,
        });
      }
    });
  });
}

describe("AES-256-GCM, more", () => {
  test("links without any offload carry everything too", async () => {
    await using sleeves = await Sleeves.open({ cables: [["a", "b"]] });
    const [a, b] = [sleeves.world.node("a"), sleeves.world.node("b")];
    for (const node of [a, b]) {
      sh(["ip", "netns", "exec", node.netns, "ethtool", "-K", "u1", "tx", "off", "gso", "off", "gro", "off"]);
    }
    await sleeves.settled(a, b, 1500);
    const moved = await transfer(sleeves.world.guest("a"), sleeves.world.guest("b"), "10.32.2.1", 5 * MB);
    expect(moved).toMatchObject({ isIntact: true });
  });

  test.skipIf(!hasVlans)("TCP in a VLAN of the guests' own, with the tag beside the frame (needs VLAN devices)", async () => {
    await using sleeves = await Sleeves.open({ cables: [["a", "b"]], unguarded: true });
    await sleeves.settled(sleeves.world.node("a"), sleeves.world.node("b"), 1500);
    const [from, to] = [sleeves.world.guest("a"), sleeves.world.guest("b")];
    for (const [guest, address] of [
      [from, "10.77.0.1"],
      [to, "10.77.0.2"],
    ] as const) {
      ipBatch(
        guest.netns,
        "link add link ethwe name tagged type vlan id 77",
        `addr add ${address}/24 dev tagged`,
        "link set tagged up",
      );
    }
    expect(await transfer(from, to, "10.77.0.2", 5 * MB)).toMatchObject({ isIntact: true });
  });
});
