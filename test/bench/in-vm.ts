// SPDX-License-Identifier: Apache-2.0
// Tables that take what only the virtual machine's kernel has. Its processor is emulated: trust ratios, and only where that is no limit.
import { runInVm, whyNoVm } from "../vm/vm.ts";

/** Runs a file that prints a table; prints that. False: it could not. */
export async function benchInVm(file: string, limitSeconds: number): Promise<boolean> {
  const reason = whyNoVm();
  if (reason !== undefined) {
    console.log(`not measured: ${file}: ${reason}`);
    return false;
  }
  const { results, console: said } = await runInVm([file], { limitSeconds });
  const result = results.get(file);
  // What `bun test` says around it is of interest only when something went wrong.
  const lines = (result?.log ?? said).split("\n");
  const from = lines.findIndex((line) => /^-+ {2}-/.test(line));
  const to = lines.findIndex((line, index) => index > from && line.startsWith("("));
  console.log(`\n${result?.code === 0 && from > 0 ? lines.slice(from - 1, to).join("\n") : lines.join("\n")}`);
  return result?.code === 0;
}
