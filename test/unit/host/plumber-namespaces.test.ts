// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostNamespaces, openReference } from "../../../src/host/plumber-namespaces.ts";
import { must, run } from "../../support/command.ts";
import { waitFor } from "../../support/wait.ts";

const TAG = `wa${process.pid}n`;
const namespaces = new HostNamespaces();

let folder: string;
const made = new Set<string>();
async function make(name: string): Promise<string> {
  await must(["ip", "netns", "add", TAG + name]);
  made.add(TAG + name);
  return TAG + name;
}
async function end(name: string): Promise<void> {
  made.delete(name);
  await must(["ip", "netns", "del", name]);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wa-netns-"));
});
afterEach(async () => {
  await run(["sh", "-c", `umount -l ${folder}/* 2>/dev/null`]);
  for (const name of [...made]) await end(name);
  rmSync(folder, { recursive: true, force: true });
});

describe("references to namespaces", () => {
  test("a name, a path, a process and the host's own", async () => {
    const web = await make("web");
    const named = namespaces.named(web);
    expect(named?.path).toBe(`/run/netns/${web}`);
    expect(namespaces.at(`/run/netns/${web}`)).toEqual(named!);
    expect(namespaces.host().id).not.toBe(named!.id);
    expect(namespaces.process(process.pid)?.id).toBe(namespaces.host().id);
    expect(new HostNamespaces({ directory: folder }).named(web)).toBeUndefined();
  });

  test("what is not there, or is no network namespace, is undefined", () => {
    writeFileSync(join(folder, "file"), "");
    for (const path of [
      join(folder, "none"),
      join(folder, "file"),
      folder,
      "/proc/self/ns/mnt",
      "/proc/999999999/ns/net",
      "/dev/null",
    ]) {
      expect(namespaces.at(path)).toBeUndefined();
    }
  });

  test("no later namespace has the identity of an earlier one, though the kernel reuses inodes", async () => {
    const seen = new Set<string>();
    const inodes = new Set<string>();
    await waitFor("an inode comes again", async () => {
      const { id } = namespaces.named(await make("again"))!;
      await end(`${TAG}again`);
      const inode = id.split(".")[0] ?? "";
      expect(seen.has(id)).toBe(false);
      seen.add(id);
      return inodes.has(inode) || !inodes.add(inode);
    });
  });

  test("opening a reference whose path means another namespace now is refused", async () => {
    const before = namespaces.named(await make("swap"))!;
    await end(`${TAG}swap`);
    await make("swap");
    expect(() => openReference(before)).toThrow("has gone");
    using opened = openReference(namespaces.named(`${TAG}swap`)!);
    expect(opened.path).toBe(before.path);
  });
});

describe("looking for a namespace", () => {
  test("by its mounts, also under a name with a space, when its first name is gone", async () => {
    const web = await make("web");
    const { id } = namespaces.named(web)!;
    const other = join(folder, "a b");
    writeFileSync(other, "");
    await must(["mount", "--bind", `/run/netns/${web}`, other]);
    await end(web);
    expect(namespaces.search(id)).toEqual({ path: other, id });
    expect(namespaces.all()).toContainEqual({ path: other, id });
    await must(["umount", other]);
    expect(namespaces.search(id)).toBeUndefined();
  });

  test("all of them, each once", async () => {
    const [one, two] = [await make("one"), await make("two")];
    const all = namespaces.all();
    expect(new Set(all.map((found) => found.id)).size).toBe(all.length);
    const ids = all.map((found) => found.id);
    expect(ids).toEqual(expect.arrayContaining([namespaces.named(one)!.id, namespaces.named(two)!.id, namespaces.host().id]));
  });
});
