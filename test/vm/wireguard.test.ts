// SPDX-License-Identifier: Apache-2.0
// Encryption in the kernel, in a virtual machine whose kernel has WireGuard. The tests themselves: guest/wireguard.ts.
import { describe, expect, test } from "bun:test";
import { machineMissing, runInMachine } from "./machine.ts";

const missing = machineMissing();
const LIMIT_MS = 400_000;

describe.skipIf(missing !== undefined)(`in a virtual machine${missing === undefined ? "" : ` (${missing})`}`, () => {
  test(
    "a password, WireGuard in the kernel, Linux 6.1",
    async () => {
      const { isFine, output } = await runInMachine(["wireguard"], LIMIT_MS);
      if (!isFine) console.log(output);
      expect(isFine).toBe(true);
      expect(output).toMatch(/\b6 pass\b/); // as many as there are in it
    },
    LIMIT_MS + 60_000,
  );
});
