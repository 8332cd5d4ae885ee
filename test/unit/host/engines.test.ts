// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Containerd } from "../../../src/host/containerd.ts";
import { Machines } from "../../../src/host/machines.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "weave-engines-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a machine is found by its name in machined's state files, which may be damaged or none of its own", async () => {
  const directory = join(folder, "machines");
  mkdirSync(directory);
  writeFileSync(
    join(directory, "web"),
    "# This is private data. Do not parse.\nNAME=web\nCLASS=container\nLEADER=4242\nREALTIME=1\n",
  );
  writeFileSync(join(directory, "torn"), "NAME=torn\nLEAD");
  symlinkSync("/proc/self/mem", join(directory, "mem"));
  const machines = new Machines(directory);
  const web = { id: "machine:web", name: "web", pid: 4242, running: true, hostname: "web" };
  for (const word of ["web", "machine:web"]) expect(await machines.inspect(word)).toMatchObject(web);
  for (const word of ["torn", "mem", "other", "../web", "", "machine:", "."])
    expect(await machines.inspect(word)).toBeUndefined();
});

test("a task is found by nerdctl's name; one without a process is not running; Docker's tasks are Docker's", async () => {
  const [state, nerdctl] = [join(folder, "state"), join(folder, "nerdctl")];
  const tasks = join(state, "io.containerd.runtime.v2.task");
  const id = "ab12".repeat(16);
  for (const path of [`default/${id}`, "default/ended", "moby/cafe"]) mkdirSync(join(tasks, path), { recursive: true });
  writeFileSync(join(tasks, `default/${id}/init.pid`), "77");
  writeFileSync(join(tasks, `default/${id}/config.json`), `{"hostname":"box"}`);
  writeFileSync(join(tasks, "default/ended/config.json"), "{torn");
  mkdirSync(join(nerdctl, "1935db59/names/default"), { recursive: true });
  writeFileSync(join(nerdctl, "1935db59/names/default/shop"), id);
  const containerd = new Containerd([state, join(folder, "none")], nerdctl);
  const shop = { id: `containerd:default/${id}`, pid: 77, running: true, hostname: "box" };
  expect(await containerd.inspect("shop")).toMatchObject({ ...shop, name: "shop" });
  for (const word of ["ab12", `default/${id}`, `containerd:default/${id}`]) {
    expect(await containerd.inspect(word)).toMatchObject({ ...shop, name: id });
  }
  expect(await containerd.inspect("ended")).toMatchObject({ pid: 0, running: false, hostname: "ended" });
  for (const word of ["cafe", "default/cafe", "moby/cafe", "../default", "a/b/c", "", "x".repeat(80)]) {
    expect(await containerd.inspect(word)).toBeUndefined();
  }
});
