// SPDX-License-Identifier: Apache-2.0
// A daemon started by `weave launch` and one started by systemd have the same runtime.
import { expect, test } from "bun:test";
import { RUNTIME_ENVIRONMENT } from "../../../src/cli/service.ts";

test("the unit file gives the daemon the environment that launch gives it", async () => {
  const unit = await Bun.file(new URL("../../../systemd/weave.service", import.meta.url)).text();
  const lines = unit.split("\n").filter((line) => line.startsWith("Environment="));
  const words = lines.flatMap((line) => line.slice("Environment=".length).split(" "));
  expect(words).toEqual(Object.entries(RUNTIME_ENVIRONMENT).map(([name, value]) => `${name}=${value}`));
});
