// SPDX-License-Identifier: Apache-2.0
// Both ends of a sleeve agree, whoever wants it when, and however their messages cross.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { PathSession } from "../../../src/mesh/ports.ts";
import { decodePathMessage } from "../../../src/overlay/offer.ts";
import { type SleeveAgreement, SleeveOpening } from "../../../src/overlay/sleeve-opening.ts";

interface Side {
  opening: SleeveOpening;
  open: SleeveAgreement | undefined;
  readonly all: SleeveAgreement[];
  readonly inbox: Uint8Array[];
}

function pair(isSealed = true): [Side, Side] {
  let counter = 0;
  const sides = [true, false].map(
    (initiator): Side => ({
      opening: undefined as never, // set below
      open: undefined,
      all: [],
      inbox: [],
      ...{ initiator },
    }),
  ) as [Side, Side];
  sides.forEach((side, at) => {
    const session: PathSession = {
      initiator: at === 0,
      localAddress: "",
      remoteAddress: "",
      takeSecret: () => undefined,
      send: (payload) => void sides[1 - at]!.inbox.push(payload),
    };
    side.opening = new SleeveOpening(
      {
        session,
        sealing: {
          random: (length) => new Uint8Array(length).fill(++counter),
          blake2b: (message) => new Uint8Array(new Bun.CryptoHasher("sha512").update(message).digest()),
          wipe: () => {},
        },
        newIndex: () => ++counter,
        opened: (agreement) => {
          side.open = agreement;
          side.all.push(agreement);
        },
        closed: (localIndex) => {
          if (side.open?.localIndex === localIndex) side.open = undefined;
        },
      },
      isSealed ? new Uint8Array(32).fill(9) : undefined,
      isSealed ? "aes256gcm" : "none",
    );
  });
  return sides;
}

function deliver(side: Side): void {
  const message = decodePathMessage(side.inbox.shift() ?? Uint8Array.of(0x91, 99));
  if (message?.type === "sleeve-open") side.opening.remoteOpens(message);
  if (message?.type === "sleeve-idle") side.opening.remoteIdle();
}
function settle(sides: readonly Side[]): void {
  for (let i = 0; i < 1_000 && sides.some(({ inbox }) => inbox.length > 0); i++) for (const side of sides) deliver(side);
  expect(sides.map(({ inbox }) => inbox.length)).toEqual([0, 0]);
}

test("opens when one end wants it, and closes when neither does", () => {
  const [a, b] = pair();
  a.opening.want();
  settle([a, b]);
  expect(a.open).toMatchObject({ localIndex: b.open!.remoteIndex, remoteIndex: b.open!.localIndex, secret: b.open!.secret });
  b.opening.want();
  a.opening.idle();
  settle([a, b]);
  expect([a.open, b.open]).not.toContain(undefined);
  b.opening.idle();
  settle([a, b]);
  expect([a.open, b.open]).toEqual([undefined, undefined]);
});

test("without a password there is no secret", () => {
  const [a, b] = pair(false);
  a.opening.want();
  settle([a, b]);
  expect(a.open).toMatchObject({ secret: undefined, cipher: "none" });
});

test("whatever crosses on the way, both end with the same keys or with none, and no key is used twice", () => {
  const step = fc.record({ side: fc.nat(1), act: fc.constantFrom("want", "idle", "deliver", "renew") });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const sides = pair();
      const wants = [false, false];
      for (const { side, act } of steps) {
        if (act === "deliver") deliver(sides[side]!);
        else sides[side]!.opening[act as "want" | "idle" | "renew"]();
        if (act === "renew") sides[side]!.open = undefined;
        else if (act !== "deliver") wants[side] = act === "want";
      }
      settle(sides);
      const [a, b] = sides;
      if (wants.some((want) => want)) {
        expect(a.open).toMatchObject({
          localIndex: b.open!.remoteIndex,
          remoteIndex: b.open!.localIndex,
          secret: b.open!.secret,
        });
      } else expect([a.open, b.open]).toEqual([undefined, undefined]);
      for (const side of sides) {
        const secrets = side.all.map(({ secret }) => secret!.toHex());
        expect(new Set(secrets).size).toBe(secrets.length);
      }
    }),
    { numRuns: 2_000 },
  );
});
