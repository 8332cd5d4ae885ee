// SPDX-License-Identifier: Apache-2.0
// Encryption in the kernel, in a virtual machine whose kernel has WireGuard. The tests themselves: guest/wireguard.ts.
import { describe, expect, test } from "bun:test";
import { machineMissing, runInMachine } from "./machine.ts";

const missing = machineMissing();
const LIMIT_MS = 280_000;

describe.skipIf(missing !== undefined)(`in a virtual machine${missing === undefined ? "" : ` (${missing})`}`, () => {
  test(
    "a password, WireGuard in the kernel, Linux 6.1",
    async () => {
      // An emulated processor is some twenty times slower than the times in the code are made for, and slower still while this machine is busy;
      // what failed in one run for that reason passes in the next.
      let outcome = await runInMachine(["wireguard"], LIMIT_MS);
      if (!outcome.isFine) {
        console.log(outcome.output);
        outcome = await runInMachine(["wireguard"], LIMIT_MS);
      }
      if (!outcome.isFine) console.log(outcome.output);
      expect(outcome.isFine).toBe(true);
      expect(outcome.output).toMatch(/\b6 pass\b/); // as many as there are in it
    },
    2 * LIMIT_MS,
  );
});
