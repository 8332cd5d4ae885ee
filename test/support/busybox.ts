// SPDX-License-Identifier: Apache-2.0
// The root file system of the tests' containers: busybox, and its libraries where it is not static.
import { chmodSync, copyFileSync, existsSync, mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { run } from "./command.ts";

/** undefined: not installed. */
export function busybox(): string | undefined {
  return ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path));
}

/** Makes `root` with these tools of busybox in its /bin. */
export async function makeBusyboxRoot(root: string, tools: readonly string[]): Promise<void> {
  const program = busybox() ?? "";
  for (const folder of ["bin", "etc", "proc", "sys", "dev", "tmp"]) mkdirSync(join(root, folder), { recursive: true });
  copyFileSync(program, join(root, "bin/busybox"));
  chmodSync(join(root, "bin/busybox"), 0o755);
  for (const [path] of (await run(["ldd", program])).stdout.matchAll(/\/\S+/g)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    copyFileSync(path, join(root, path));
  }
  for (const tool of tools) symlinkSync("busybox", join(root, "bin", tool));
}
