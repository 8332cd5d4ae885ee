// SPDX-License-Identifier: Apache-2.0
// Another build of the executable, made from a copy of the sources: another version, and a switch with one more map, as an upgrade
// would bring.
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "./command.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

const ONE_MORE_MAP = `
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} another_build SEC(".maps");
`;

export interface OtherBuild extends Disposable {
  readonly path: string;
  readonly version: string;
}

/** Builds it; the copy goes with the disposal. */
export async function otherBuild(): Promise<OtherBuild> {
  const folder = mkdtempSync(join(tmpdir(), `wl-${process.pid}-build-`));
  try {
    for (const name of ["src", "native", "packaging", "package.json", "tsconfig.json"]) {
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    }
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
    const version = `${manifest.version}-other`;
    writeFileSync(join(folder, "package.json"), JSON.stringify({ ...manifest, version }));
    appendFileSync(join(folder, "native/bpf/switch.bpf.c"), ONE_MORE_MAP);
    await must([process.execPath, join(folder, "packaging/build.ts")], { deadlineMs: 120_000 });
    return {
      path: join(folder, "dist/weave"),
      version,
      [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
    };
  } catch (thrown) {
    rmSync(folder, { recursive: true, force: true });
    throw thrown;
  }
}
