// SPDX-License-Identifier: Apache-2.0
// Compiles the waiter for both machines, whichever this one is. The result depends on the source and the compiler only.
//   bun native/waiter/build.ts [folder]
import { mkdirSync, renameSync } from "node:fs";
import { join, resolve } from "node:path";

const SOURCE = import.meta.dir;
const MACHINES = [
  { name: "waiter-x64.elf", target: "x86_64-linux-gnu" },
  { name: "waiter-arm64.elf", target: "aarch64-linux-gnu" },
] as const;
const FLAGS = [
  "-Os",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-ffreestanding",
  "-fno-stack-protector",
  "-fno-asynchronous-unwind-tables",
  "-fno-pic",
];
const LINK = ["-nostdlib", "-static", "-fuse-ld=lld", "-Wl,--build-id=none", "-Wl,-s", "-Wl,-z,noseparate-code"];

/** @throws {Error} with the compiler's words */
export function buildWaiters(folder: string): void {
  const target = resolve(folder);
  mkdirSync(target, { recursive: true });
  for (const machine of MACHINES) {
    const unfinished = join(target, `${machine.name}.unfinished-${process.pid}`);
    run(["clang", "-target", machine.target, ...FLAGS, ...LINK, "waiter.c", "-o", unfinished]);
    renameSync(unfinished, join(target, machine.name)); // whoever reads it meanwhile sees a whole program
  }
}

function run(command: readonly string[]): void {
  for (const tool of ["clang", "ld.lld"]) {
    if (Bun.which(tool) === null) throw new Error(`${tool} is not installed; 'npm run setup' installs what a build needs`);
  }
  const result = Bun.spawnSync([...command], { cwd: SOURCE, stdout: "pipe", stderr: "pipe" });
  if (result.exitCode !== 0) throw new Error(`clang failed on the waiter:\n${result.stdout}${result.stderr}`);
}

if (import.meta.main) buildWaiters(process.argv[2] ?? join(SOURCE, "../../dist/waiter"));
