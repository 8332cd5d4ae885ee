// SPDX-License-Identifier: Apache-2.0
import { test } from "bun:test";
import { overLossyLine } from "../../support/lossy-line.ts";

test("TCP through the sleeve arrives as it was sent, over a line that loses and reorders", async () => {
  console.log(await overLossyLine(1, "netem"));
}, 200_000);
