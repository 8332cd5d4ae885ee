// SPDX-License-Identifier: Apache-2.0
// The first program of a container, for both machines it is made for: what it waits for, how it ends, and what it becomes. That for the other machine
// runs in an emulator, which packaging/setup.sh unpacks below dist/; without it those tests are skipped.
import { describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Background, type Finished, must, run } from "../../support/command.ts";
import { waitFor } from "../../support/wait.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
const MACHINES = [
  { name: "x64", emulator: "qemu-x86_64-static" },
  { name: "arm64", emulator: "qemu-aarch64-static" },
] as const;

describe.each(MACHINES)("the waiter for $name", ({ name, emulator }) => {
  const isNative = process.arch === name;
  const emulation = isNative ? [] : [join(ROOT, "dist/qemu", emulator)];
  const missing = emulation.find((path) => !existsSync(path));
  if (missing !== undefined) console.warn(`skipped: the waiter for ${name}: no ${emulator}`);
  const runs = test.skipIf(missing !== undefined);

  /** Starts it in a network of its own. */
  const start = (folder: string, command: readonly string[], environment: Readonly<Record<string, string>> = {}) => {
    const variables = Object.entries({ PATH: "/usr/bin:/bin", ...environment }).map(([key, value]) => `${key}=${value}`);
    const whole = [...emulation, join(folder, "w"), ...command];
    return new Background(["unshare", "--net", "--", "env", "-C", folder, "-i", ...variables, ...whole]);
  };
  const ip = (waiting: Background, words: string): Promise<string> =>
    must(["nsenter", "-t", `${waiting.pid}`, "-n", "ip", ...words.split(" ")]);
  /** It has looked, and sleeps until the kernel tells of something. */
  const waits = (waiting: Background): Promise<unknown> =>
    waitFor("the waiter to wait", () => {
      const [words, state] = ["cmdline", "stat"].map((file) => readFileSync(`/proc/${waiting.pid}/${file}`, "latin1"));
      return words?.includes("/w\0") === true && state?.split(") ")[1]?.startsWith("S") === true;
    });
  const inFolder = async (use: (folder: string) => Promise<void>): Promise<void> => {
    const folder = mkdtempSync(join(tmpdir(), "weave-waiter-"));
    try {
      copyFileSync(join(ROOT, `dist/waiter/waiter-${name}.elf`), join(folder, "w"));
      chmodSync(join(folder, "w"), 0o755);
      await use(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
  /** It finds the network there and becomes this command. */
  const becomes = async (folder: string, command: readonly string[], environment = {}): Promise<Finished> => {
    await using waiting = start(folder, command, environment);
    await waits(waiting);
    await ip(waiting, "link add ethwe up type veth");
    return await waiting.ended(20_000);
  };

  runs("waits for the interface, its address and the multicast route, and hands over arguments and environment", () =>
    inFolder(async (folder) => {
      const script = 'cat /proc/net/route; printf \'%s|\' "$0" "$@" "$WORD"; exit 7';
      await using waiting = start(folder, ["sh", "-c", script, "zero", "a b", ""], { WORD: "é" });
      for (const step of [
        "link add ethwe type veth",
        "address add 10.2.0.1/24 dev ethwe",
        "link set ethwe up",
        "route add 225.0.0.0/8 dev ethwe",
      ]) {
        await waits(waiting);
        await ip(waiting, step);
      }
      await waits(waiting);
      expect(waiting.stdout).toBe("");
      await ip(waiting, "route add 224.0.0.0/4 dev ethwe");
      const { code, stdout } = await waiting.ended(20_000);
      expect([code, stdout]).toEqual([7, expect.stringMatching(/\t000000E0\t[\s\S]*\nzero\|a b\|\|é\|$/)]);
    }),
  );

  runs("waits for no multicast route where none is made: no IPv4 address, or `nomcast` beside it", () =>
    inFolder(async (folder) => {
      expect(await becomes(folder, ["sh", "-c", "echo there"])).toMatchObject({ code: 0, stdout: "there\n" });
      writeFileSync(join(folder, "nomcast"), "");
      await using waiting = start(folder, ["echo", "there"]);
      await waits(waiting);
      await ip(waiting, "link add ethwe type veth");
      await ip(waiting, "address add 10.2.0.1/24 dev ethwe");
      await ip(waiting, "link set ethwe up");
      expect(await waiting.ended(20_000)).toMatchObject({ code: 0, stdout: "there\n" });
    }),
  );

  runs("ends on the signals that end programs, and its program has them as they were", () =>
    inFolder(async (folder) => {
      for (const [signal, number] of [
        ["SIGHUP", 1],
        ["SIGINT", 2],
        ["SIGQUIT", 3],
        ["SIGTERM", 15],
      ] as const) {
        await using waiting = start(folder, ["true"]);
        await waits(waiting);
        waiting.signal(signal);
        expect([signal, (await waiting.ended(20_000)).code]).toEqual([signal, 128 + number]);
      }
      expect(await becomes(folder, ["sh", "-c", "kill -TERM $$; echo survived"])).toMatchObject({ code: 143, stdout: "" });
    }),
  );

  runs("finds its program as Docker would, or says what is wrong with it", () =>
    inFolder(async (folder) => {
      mkdirSync(join(folder, "sub"));
      writeFileSync(join(folder, "sub/tool"), "#!/bin/sh\necho tool\n", { mode: 0o755 });
      writeFileSync(join(folder, "sub/text"), "no program\n", { mode: 0o755 });
      writeFileSync(join(folder, "sub/plain"), "no program\n", { mode: 0o644 });
      const said = async (command: readonly string[], environment = {}): Promise<string> => {
        const { code, stdout, stderr } = await becomes(folder, command, environment);
        return `${code} ${stdout}${stderr}`.trim();
      };
      const inSub = { PATH: `/nowhere:${folder}/sub` };
      const outcomes = await Promise.all([
        said(["tool"], inSub),
        said(["sub/tool"]),
        said(["tool"], { PATH: "/nowhere" }),
        said(["./none"]),
        said(["plain"], inSub),
        said(["text"], inSub),
        said(["/etc"]),
      ]);
      expect(outcomes).toEqual([
        "0 tool",
        "0 tool",
        '127 exec: "tool": executable file not found in $PATH',
        '127 exec: "./none": no such file or directory',
        '126 exec: "plain": permission denied',
        '126 exec: "text": exec format error',
        '126 exec: "/etc": permission denied',
      ]);
      const nothing = await run([...emulation, join(folder, "w")]);
      expect([nothing.code, nothing.stderr]).toEqual([127, "weave: no command specified\n"]);
    }),
  );
});
