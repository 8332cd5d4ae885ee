// SPDX-License-Identifier: Apache-2.0
// Compiles the switch: `switch.o` for today's kernels, `switch-small.o` for old ones. The result depends on the sources and the compiler
// only: paths are relative and mapped, debug information is stripped (BTF, which the loader needs, stays).
//   bun native/bpf/build.ts [folder]
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join, resolve } from "node:path";

const SOURCE = import.meta.dir;
const OBJECTS = [
  { name: "switch.o", flags: ["-mcpu=v2"] },
  { name: "switch-small.o", flags: ["-mcpu=v1", "-DSMALL"] },
] as const;
const FLAGS = ["-target", "bpf", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-parameter"];
// Debian and Ubuntu keep asm/types.h below a folder named after the machine; the target "bpf" does not look there.
const ASM_HEADERS = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map((machine) => `/usr/include/${machine}`);

/** Writes both objects into `folder`; `extra` flags are for tests of other layouts. @throws {Error} with the compiler's words */
export function buildBpfObjects(folder: string, extra: readonly string[] = []): void {
  const target = resolve(folder);
  mkdirSync(target, { recursive: true });
  for (const { name, flags } of OBJECTS) {
    const unfinished = join(target, `${name}.unfinished-${process.pid}`);
    const includes = ASM_HEADERS.filter((path) => existsSync(path)).map((path) => `-I${path}`);
    run("clang", [
      ...FLAGS,
      `-fdebug-prefix-map=${SOURCE}=.`,
      ...flags,
      ...extra,
      ...includes,
      "-c",
      "switch.bpf.c",
      "-o",
      unfinished,
    ]);
    run(stripTool(), ["-g", unfinished]);
    renameSync(unfinished, join(target, name)); // whoever reads it meanwhile sees a whole object
  }
}

function stripTool(): string {
  const found = ["llvm-strip", ...[21, 20, 19, 18, 17, 16, 15, 14].map((version) => `llvm-strip-${version}`)].find((name) =>
    Bun.which(name),
  );
  if (found === undefined) throw new Error("llvm-strip is not installed; install the package 'llvm'");
  return found;
}

function run(command: string, args: readonly string[]): void {
  if (Bun.which(command) === null) throw new Error(`${command} is not installed; 'npm run setup' installs what a build needs`);
  const result = Bun.spawnSync([command, ...args], { cwd: SOURCE, stdout: "pipe", stderr: "pipe" });
  if (result.exitCode !== 0) throw new Error(`${command} failed on the switch:\n${result.stdout}${result.stderr}`);
}

if (import.meta.main) buildBpfObjects(process.argv[2] ?? join(SOURCE, "../../dist/bpf"));
