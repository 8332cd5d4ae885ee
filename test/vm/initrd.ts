// SPDX-License-Identifier: Apache-2.0
// The initial RAM disk of the virtual machine: a shell, the modules it takes to see the host's files, the first script, and the job.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type CpioEntry, cpio } from "./cpio.ts";

const HERE = import.meta.dir;
const DIRECTORIES = ["bin", "dev", "host", "layer", "modules", "proc", "root", "sys"];
const MODULES = ["virtio_pci", "virtiofs", "overlay"];

/** Runs these test files, given as paths below the repository's root. `directory` holds the kernel's modules and the shell. */
export function initrd(directory: string, files: readonly string[]): Uint8Array {
  const modules = modulesFor(directory, MODULES);
  const entries: CpioEntry[] = [
    ...DIRECTORIES.map((path) => ({ path })),
    { path: "bin/busybox", content: readFileSync(join(directory, "busybox")) },
    { path: "init", content: readFileSync(join(HERE, "init.sh")) },
    { path: "guest", content: join(HERE, "guest.sh") },
    { path: "job", content: files.map((file) => `${file}\n`).join("") },
    { path: "modules/order", content: modules.map(({ name }) => `${name}\n`).join("") },
    ...modules.map(({ name, path }) => ({ path: `modules/${name}`, content: readFileSync(path) })),
  ];
  return cpio(entries);
}

/** The files of these modules and of all they need, in the order to load them. */
function modulesFor(directory: string, wanted: readonly string[]): { readonly name: string; readonly path: string }[] {
  const release = readFileSync(join(directory, "release"), "utf8").trim();
  const root = join(directory, "lib/modules", release);
  const dependencies = new Map<string, readonly string[]>();
  for (const line of readFileSync(join(root, "modules.dep"), "utf8").trim().split("\n")) {
    const [module = "", needs = ""] = line.split(":");
    dependencies.set(module, needs.split(" ").filter(Boolean));
  }
  const ordered = new Set<string>();
  const add = (module: string): void => {
    for (const needed of dependencies.get(module) ?? []) add(needed);
    ordered.add(module);
  };
  for (const name of wanted) {
    const module = [...dependencies.keys()].find((path) => new RegExp(`/${name}\\.ko(\\.|$)`).test(path));
    if (module !== undefined) add(module); // otherwise it is built in
  }
  return [...ordered].map((module) => ({ name: module.replaceAll("/", "-"), path: join(root, module) }));
}
