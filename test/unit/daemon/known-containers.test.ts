// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { KnownContainers } from "../../../src/daemon/known-containers.ts";
import { UserError } from "../../../src/runtime/errors.ts";

const [A, B] = ["a".repeat(64), "b".repeat(64)];
const answering = (...ids: string[]) => ({ containers: async () => ids.map((id) => ({ id, name: id })) });
const away = {
  containers: async (): Promise<never> => {
    throw new UserError("unavailable", "Docker does not answer");
  },
};

test("Docker says which containers it has, and its events what changes", async () => {
  const known = new KnownContainers({ now: () => 0 });
  await known.look(answering(A));
  expect([known.has(A), known.has(B), known.has("netns:/run/netns/web")]).toEqual([true, false, false]);
  known.event({ action: "create", id: B, timeNs: 1n });
  known.event({ action: "destroy", id: A, timeNs: 2n });
  await known.look(away);
  expect([known.has(A), known.has(B)]).toEqual([false, true]);
});

test("any container may be one of a Docker that has not told yet, but not for ever", async () => {
  let now = 0;
  const known = new KnownContainers({ now: () => now });
  await known.look(away);
  expect([known.has(A), known.has("pid:1")]).toEqual([true, false]);
  now = 600_000;
  expect(known.has(A)).toBe(false);
});
