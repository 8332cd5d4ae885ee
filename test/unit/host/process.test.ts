// SPDX-License-Identifier: Apache-2.0
// Processes: one that outlives us, how it ended, its last words; who listens on a socket; and nobody is mistaken for another.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  isRunning,
  listenerOf,
  missingPrivileges,
  processRef,
  selfCommand,
  signalProcess,
  startDetached,
} from "../../../src/host/process.ts";

let directory: string;
let log: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weave-process-"));
  log = join(directory, "log");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const ENV = { PATH: "/usr/bin:/bin" };
async function until<Found>(ask: () => Found | undefined): Promise<Found> {
  const end = performance.now() + 5_000;
  for (;;) {
    const found = ask();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error("waited in vain");
    await Bun.sleep(5);
  }
}

describe("a detached process", () => {
  test("leads a session of its own, in /, without our environment and terminal", async () => {
    const script = "cut -d' ' -f1,6 /proc/$$/stat; pwd; echo \"[$SECRET]\"; readlink /proc/self/fd/0";
    process.env["SECRET"] = "hush";
    const started = startDetached(["/bin/sh", "-c", script], { logPath: log, env: ENV });
    delete process.env["SECRET"];
    await until(started.ended);
    expect(started.lastLines(9)).toEqual([`${started.pid} ${started.pid}`, "/", "[]", "/dev/null"]);
  });
  test("tells how it ended", async () => {
    const failing = startDetached(["/bin/sh", "-c", "echo why >&2; exit 3"], { logPath: log, env: ENV });
    expect(await until(failing.ended)).toBe("exit code 3");
    expect(failing.lastLines(5)).toEqual(["why"]);
    const killed = startDetached(["/bin/sh", "-c", "kill -9 $$"], { logPath: log, env: ENV });
    expect(await until(killed.ended)).toBe("signal SIGKILL");
  });
  test("only its own lines are shown, the earlier ones stay in the log", async () => {
    writeFileSync(log, "earlier\n");
    const started = startDetached(["/bin/sh", "-c", "echo 1; echo 2; echo 3"], { logPath: log, env: ENV });
    await until(started.ended);
    expect(started.lastLines(2)).toEqual(["2", "3"]);
    expect(started.lastLines(9)).toEqual(["1", "2", "3"]);
    expect(readFileSync(log, "utf8")).toBe("earlier\n1\n2\n3\n");
  });
  test("a big log is set aside, and the new one is not for everybody", async () => {
    writeFileSync(log, "");
    truncateSync(log, 9 * 1024 * 1024);
    const started = startDetached(["/bin/sh", "-c", "echo new"], { logPath: log, env: ENV });
    await until(started.ended);
    expect(readFileSync(log, "utf8")).toBe("new\n");
    expect(statSync(log).mode & 0o7).toBe(0);
    expect(statSync(`${log}.1`).size).toBe(9 * 1024 * 1024);
  });
  test("a program that is not there is an error", () => {
    expect(() => startDetached([join(directory, "nope")], { logPath: log, env: ENV })).toThrow("ENOENT");
  });
});

describe("processes by number", () => {
  test("we run, a number nobody has does not", () => {
    const self = processRef(process.pid);
    expect(self?.start).toMatch(/^\d+$/);
    expect(self && isRunning(self)).toBe(true);
    expect(processRef(2 ** 22 + 1)).toBeUndefined();
  });
  test("a later process with the same number is another one, and is left alone", () => {
    const impostor = { pid: process.pid, start: "1" };
    expect(isRunning(impostor)).toBe(false);
    expect(signalProcess(impostor, "SIGKILL")).toBe(false);
  });
  test("one that ended and was not waited for is gone", async () => {
    const child = Bun.spawn(["/bin/sh", "-c", "read _"], { stdin: "pipe" });
    const reference = await until(() => processRef(child.pid));
    expect(signalProcess(reference, "SIGTERM")).toBe(true);
    await child.exited;
    expect(isRunning(reference)).toBe(false);
    expect(signalProcess(reference, "SIGTERM")).toBe(false);
  });
});

describe("who listens", () => {
  test("the process that listens on a socket is known", async () => {
    const path = join(directory, "s");
    expect(listenerOf(path)).toBeUndefined();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    expect(listenerOf(path)).toEqual(processRef(process.pid));
    await new Promise((resolve) => server.close(resolve));
    expect(listenerOf(path)).toBeUndefined();
  });
  test("a path that is no socket has nobody", () => {
    writeFileSync(join(directory, "file"), "");
    expect(listenerOf(join(directory, "file"))).toBeUndefined();
  });
});

test("this program again is Bun with the script, or the executable", () => {
  expect(selfCommand()[0]).toBe(process.execPath);
});

test("root lacks nothing where the tests may run as root", () => {
  const isPrivileged = (BigInt(`0x${/CapEff:\s*(\w+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`) >> 12n) & 1n;
  expect(missingPrivileges().includes("CAP_NET_ADMIN")).toBe(isPrivileged === 0n);
});
