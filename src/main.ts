#!/usr/bin/env bun
// SPDX-License-Identifier: Apache-2.0
// The executable. Answers `version` before anything else is loaded; everything else goes to the command line, one lazily loaded file each.
import { writeSync } from "node:fs";
import { version } from "../package.json";

const argv = process.argv.slice(process.argv[2] === "--local" ? 3 : 2);

if (argv.length === 1 && (argv[0] === "version" || argv[0] === "--version")) {
  writeSync(1, `weave ${version}\n`);
} else {
  const { runProcess } = await import("./cli/process.ts");
  await runProcess(argv, version);
}
