// SPDX-License-Identifier: Apache-2.0
// Builds the executable: the BPF objects and the waiter with clang, then everything into one file with `bun build --compile`.
//   bun packaging/build.ts [--target x64|arm64] [--outfile dist/weave]
// The result depends on the sources and the pinned tools only: no time, no path and no host name goes into it.
import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { consola } from "consola";
import { buildBpfObjects } from "../native/bpf/build.ts";
import { placeLibbpf } from "../native/libbpf/build.ts";
import { buildWaiters } from "../native/waiter/build.ts";

const TARGETS = { x64: "bun-linux-x64", arm64: "bun-linux-arm64" } as const;

// Each Worker file is an entry point of its own; Bun does not find them by itself.
const ENTRY_POINTS = ["src/main.ts", "src/sleeve-worker.ts"];

function isTarget(text: string): text is keyof typeof TARGETS {
  return text in TARGETS;
}

/** Runs the bundler in the repository's root. @throws {Error} with the bundler's words when it fails */
function compile(target: keyof typeof TARGETS, outfile: string): void {
  // A running executable is replaced, never written into. Only the folder's name differs: the file's own name is compiled in.
  const folder = mkdtempSync(join(dirname(outfile), ".build-"));
  const unfinished = join(folder, "weave");
  const build = Bun.spawnSync(
    [
      process.execPath,
      "build",
      "--compile",
      "--minify",
      "--bytecode", // needs esm, see ARCHITECTURE.md
      "--format=esm",
      "--splitting",
      "--no-compile-autoload-dotenv",
      "--no-compile-autoload-bunfig",
      `--target=${TARGETS[target]}`,
      ...ENTRY_POINTS,
      "--outfile",
      unfinished,
    ],
    { stdout: "pipe", stderr: "pipe" },
  );
  if (build.exitCode === 0) renameSync(unfinished, outfile);
  rmSync(folder, { recursive: true, force: true });
  if (build.exitCode !== 0) throw new Error(`bun build failed:\n${build.stdout}${build.stderr}`);
}

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: { target: { type: "string", default: process.arch === "arm64" ? "arm64" : "x64" }, outfile: { type: "string" } },
});
if (!isTarget(values.target)) {
  consola.error(`unknown target '${values.target}'; choose one of ${Object.keys(TARGETS).join(", ")}`);
  process.exit(2);
}
process.chdir(resolve(import.meta.dir, ".."));
const outfile = resolve(values.outfile ?? (values.target === "x64" ? "dist/weave" : `dist/weave-${values.target}`));
mkdirSync(dirname(outfile), { recursive: true });
buildBpfObjects("dist/bpf");
buildWaiters("dist/waiter");
const libbpf = placeLibbpf(values.target, "dist/libbpf");
if (typeof libbpf === "string") consola.warn(`the executable gets no copy of libbpf: ${libbpf}`);
compile(values.target, outfile);
consola.success(`${outfile} ${(statSync(outfile).size / 1e6).toFixed(1)} MB`);
