// SPDX-License-Identifier: Apache-2.0
// The shared objects this process runs with, for giving the executable to somebody who has none: a container without a system in it.
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

export interface LibraryFile {
  /** Where the loader looks for it. */
  readonly path: string;
  readonly content: Uint8Array;
}

/** Where executables ask for the loader, by the machine's ABI. */
const LOADERS: Readonly<Record<string, string>> = { x64: "/lib64/ld-linux-x86-64.so.2", arm64: "/lib/ld-linux-aarch64.so.1" };

/** Of a process that has loaded nothing of its own: libc's parts and the loader. @throws {Error} /proc cannot be read */
export function loadedLibraries(): readonly LibraryFile[] {
  const maps = readFileSync("/proc/self/maps", "utf8");
  const files = new Set(
    [...maps.matchAll(/ (\/\S+\/(?:lib(?:c|m|dl|pthread|rt)[-.]|ld-)\S*)$/gm)].map((match) => match[1] ?? ""),
  );
  return [...files].flatMap((file) => {
    const content = readFileSync(file);
    return [...new Set([file, ...namesOf(file)])].map((path) => ({ path, content }));
  });
}

/** Links that lead to it: libraries are asked for by soname, files may be called otherwise. */
function namesOf(file: string): string[] {
  const folder = dirname(file);
  const links = readdirSync(folder)
    .filter((name) => /\.so\.\d+$/.test(name))
    .map((name) => join(folder, name))
    .filter((path) => realpathSync(path) === file);
  const loader = LOADERS[process.arch];
  return loader !== undefined && realpathSync(loader) === file ? [...links, loader] : links;
}
