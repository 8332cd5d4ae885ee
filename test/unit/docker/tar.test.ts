// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { tarOf } from "../../../src/docker/tar.ts";

test("tar reads what was written: folders, modes, contents of any length", async () => {
  const content = (bytes: number) => new Uint8Array(bytes).fill(0x61);
  const archive = new Blob(
    tarOf([
      { path: "root/", mode: 0o755 },
      { path: "root/empty", mode: 0o644, content: content(0) },
      { path: "root/block", mode: 0o755, content: content(512) },
      { path: "root/more", mode: 0o600, content: content(513) },
    ]),
  );
  const tar = Bun.spawn(["tar", "-tvf", "-"], { stdin: archive, env: { ...process.env, LC_ALL: "C" }, stderr: "pipe" });
  const lines = (await new Response(tar.stdout).text()).trim().split("\n");
  expect(await new Response(tar.stderr).text()).toBe("");
  const fields = lines
    .map((line) => line.split(/\s+/))
    .map(([mode, owner, size, , , path]) => `${mode} ${owner} ${size} ${path}`);
  expect(fields).toEqual([
    "drwxr-xr-x 0/0 0 root/",
    "-rw-r--r-- 0/0 0 root/empty",
    "-rwxr-xr-x 0/0 512 root/block",
    "-rw------- 0/0 513 root/more",
  ]);
  expect(() => tarOf([{ path: "x".repeat(101), mode: 0o644 }])).toThrow("path too long");
});
