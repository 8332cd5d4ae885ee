// SPDX-License-Identifier: Apache-2.0
// Puts a copy of libbpf where the bundler embeds it, for hosts that have none or only the one before 1.0, as Ubuntu 22.04 and Debian 11. It is
// Debian's, of the machine that builds or, for the other architecture, fetched by packaging/setup.sh libbpf. Without one the executable
// is built all the same, and needs the host's.
import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const TRIPLETS = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" } as const;
export type Target = keyof typeof TRIPLETS;

/** What the packages ask of the C library: 2.28, of Debian 10 and RHEL 8. */
const OLDEST_GLIBC_MINOR = 28;

export interface LibbpfCopy {
  readonly path: string;
  /** Debian's: `1.1.2-0+deb12u1`. */
  readonly version: string;
}

/** The copy for a target, or why there is none. */
export function findLibbpf(target: Target): LibbpfCopy | string {
  const roots = [`dist/libbpf/${target}`, ...(process.arch === target ? ["/"] : [])];
  const root = roots.find((one) => existsSync(join(one, "usr/lib", TRIPLETS[target], "libbpf.so.1")));
  if (root === undefined) return `no libbpf for ${target} is here: bash packaging/setup.sh libbpf`;
  const path = realpathSync(join(root, "usr/lib", TRIPLETS[target], "libbpf.so.1"));
  const needed = neededGlibcMinor(readFileSync(path, "latin1"));
  if (needed > OLDEST_GLIBC_MINOR)
    return `${path} needs glibc 2.${needed}, which older hosts have not: bash packaging/setup.sh libbpf`;
  return { path, version: debianVersion(join(root, "usr/share/doc/libbpf1")) ?? path.split(".so.")[1] ?? "" };
}

/** Places the copy for `target`, or an empty file. Returns what `findLibbpf` does. */
export function placeLibbpf(target: Target, folder: string): LibbpfCopy | string {
  const found = findLibbpf(target);
  const file = join(resolve(folder), "libbpf.so");
  const unfinished = `${file}.unfinished-${process.pid}`;
  mkdirSync(folder, { recursive: true });
  if (typeof found === "string") writeFileSync(unfinished, "");
  else copyFileSync(found.path, unfinished);
  renameSync(unfinished, file); // whoever reads it meanwhile sees a whole library
  return found;
}

/** The newest symbol version of the C library that a program names: N of GLIBC_2.N. */
function neededGlibcMinor(program: string): number {
  return Math.max(...[...program.matchAll(/\0GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor)), 0);
}

function debianVersion(documents: string): string | undefined {
  const changelog = join(documents, "changelog.Debian.gz");
  if (!existsSync(changelog)) return undefined;
  return /^libbpf \((?:\d+:)?([^)]+)\)/.exec(Buffer.from(Bun.gunzipSync(readFileSync(changelog))).toString())?.[1];
}
