// SPDX-License-Identifier: Apache-2.0
// `npm run bench [-- paths|mesh|connect|start] [--rounds N] [--ms N] [--only part,part]`: how fast weave is, beside the kernel's own
// means in the same run. Needs root; nothing of it outlives the run.
import { parseArgs } from "node:util";
import { benchPaths } from "./paths.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "3" },
    ms: { type: "string", default: "1000" },
    only: { type: "string", default: "" },
  },
});
const what = positionals[0] ?? "paths";

async function main(): Promise<boolean> {
  switch (what) {
    case "paths":
      return await benchPaths({
        rounds: Number(values.rounds),
        durationMs: Number(values.ms),
        only: values.only.split(",").filter((part) => part !== ""),
      });
    default:
      console.error(`bench: unknown bench '${what}'; use paths, mesh, connect or start`);
      process.exit(2);
  }
}

process.exit((await main()) ? 0 : 1);
