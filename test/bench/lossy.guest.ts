// SPDX-License-Identifier: Apache-2.0
// `npm run bench -- lossy`, inside the virtual machine.
import { test } from "bun:test";
import { overLossyLine } from "../support/lossy-line.ts";

test("figures", async () => console.log(await overLossyLine(7, "netem")), 600_000);
