// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { hostname } from "node:os";
import { loadConfig } from "../../../src/config/load.ts";
import { type Check, examine, isHealthy, type Patient } from "../../../src/doctor/examine.ts";
import { bad, ok, unknown } from "../../../src/doctor/finding.ts";
import { isOlder } from "../../../src/doctor/machine-checks.ts";
import { Links } from "../../../src/host/links.ts";
import { type Clock, systemClock } from "../../../src/runtime/clock.ts";

function patient(clock: Clock): Patient {
  const { config } = loadConfig({ flags: {}, peers: [], env: {}, hostname: hostname() });
  return {
    version: "1",
    clock,
    links: Links.open(),
    daemon: { state: "absent" },
    config,
    misconfigured: undefined,
    exposed: undefined,
  };
}

test("the worst comes first; a check that fails or hangs is a finding and hinders no other", async () => {
  const checks: Check[] = [
    { id: "a", look: () => [ok("a", "well"), bad("a", "warning", "slow", "")] },
    { id: "b", look: () => Promise.reject(new Error("EIO")) },
    { id: "c", look: () => new Promise(() => {}) },
    { id: "d", look: () => [bad("d", "error", "broken", "mend it"), unknown("d", "dark")] },
  ];
  const impatient: Clock = { ...systemClock, after: (_delayMs, fire) => systemClock.after(20, fire) };
  const found = await examine(patient(impatient), checks);
  expect(found.map(({ id, result, text }) => `${id} ${result} ${text}`)).toEqual([
    "d bad broken",
    "a bad slow",
    "b unknown cannot look: EIO",
    "c unknown looking took too long",
    "d unknown dark",
    "a ok well",
  ]);
  expect(isHealthy(found)).toBe(false);
  expect(isHealthy(found.filter(({ result }) => result !== "bad"))).toBe(true);
});

test("kernel releases compare as versions", () => {
  expect(isOlder("5.4.0-generic", [5, 10])).toBe(true);
  expect(isOlder("5.10.0-28-amd64", [5, 10])).toBe(false);
  expect(isOlder("6.1.0", [5, 10])).toBe(false);
  expect(isOlder("4.19.0", [5, 4])).toBe(true);
});
