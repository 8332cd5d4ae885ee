// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { enterNetns, inNetns, Netns, namedNetns, netnsOfProcess, processesIn } from "../../../src/host/netns.ts";
import { ensureSysctl, readSysctl } from "../../../src/host/sysctl.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { isRoot, ScratchNetns } from "./scratch.ts";

const here = (): string => readlinkSync("/proc/thread-self/ns/net");
const atStart = here();
afterEach(() => expect(here()).toBe(atStart));

function refusal(path: string): UserError {
  try {
    Netns.open(path)[Symbol.dispose]();
  } catch (thrown) {
    if (thrown instanceof UserError) return thrown;
    throw thrown;
  }
  throw new Error(`${path} was opened`);
}

describe("opening", () => {
  test("a path that is not there is refused as such", () => {
    expect([refusal("/nonexistent").code, refusal("/nonexistent").message]).toEqual([
      "not-found",
      "no network namespace at '/nonexistent'",
    ]);
  });

  test("files and namespaces of other types are refused", () => {
    for (const path of ["/etc/passwd", "/proc/self/ns/uts", "/dev/null", "/tmp"]) {
      expect([path, refusal(path).code]).toEqual([path, "bad-request"]);
    }
  });

  test("a pipe does not make the opening wait", () => {
    const directory = mkdtempSync(join(tmpdir(), "wn-netns-"));
    try {
      expect(Bun.spawnSync(["mkfifo", join(directory, "pipe")]).exitCode).toBe(0);
      expect(refusal(join(directory, "pipe")).code).toBe("bad-request");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("the identity is the inode everybody sees", () => {
    using netns = Netns.current();
    expect(`net:[${netns.id.inode}]`).toBe(here());
    expect(netns.key).toBe(`${netns.id.device}:${netns.id.inode}`);
  });

  test("a closed one is not used, and closing twice is harmless", () => {
    const netns = Netns.current();
    netns[Symbol.dispose]();
    netns[Symbol.dispose]();
    expect(() => netns.fd).toThrow(TypeError);
  });

  test("a process that does not exist is refused", () => {
    expect(() => netnsOfProcess(2 ** 22 + 1)).toThrow(UserError);
    expect(netnsOfProcess(process.pid)).toBe(`/proc/${process.pid}/ns/net`);
  });
});

describe("names", () => {
  test("are the files of the directory, sorted", () => {
    const directory = mkdtempSync(join(tmpdir(), "wn-named-"));
    try {
      for (const name of ["web", "db"]) writeFileSync(join(directory, name), "");
      expect(namedNetns(directory).map(({ name }) => name)).toEqual(["db", "web"]);
      expect(namedNetns(join(directory, "none"))).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("processes without a readable namespace are passed over", () => {
    const directory = mkdtempSync(join(tmpdir(), "wn-proc-"));
    try {
      mkdirSync(join(directory, "17"));
      expect(processesIn({ device: 4, inode: 1 }, directory)).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe.skipIf(!isRoot)("inside (needs root)", () => {
  test("a scratch namespace is another one", () => {
    using scratch = ScratchNetns.make();
    using current = Netns.current();
    using again = Netns.open(scratch.path);
    expect([scratch.netns.isSame(current), scratch.netns.isSame(again)]).toEqual([false, true]);
  });

  test("entering ends with the block, also when it throws", () => {
    using scratch = ScratchNetns.make();
    const inside = () => {
      using _inside = enterNetns(scratch.netns);
      expect(here()).toBe(`net:[${scratch.netns.id.inode}]`);
      throw new Error("on purpose");
    };
    expect(inside).toThrow("on purpose");
    expect(here()).toBe(atStart);
  });

  test("entering nests", () => {
    using outer = ScratchNetns.make();
    using inner = ScratchNetns.make();
    const seen = inNetns(outer.netns, () => [inNetns(inner.netns, here), here()]);
    expect(seen).toEqual([`net:[${inner.netns.id.inode}]`, `net:[${outer.netns.id.inode}]`]);
  });

  test("the inhabitants of a namespace are found", () => {
    using scratch = ScratchNetns.make();
    expect(processesIn(scratch.netns.id)).toEqual([]);
    const child = inNetns(scratch.netns, () => Bun.spawn(["sleep", "20"]));
    try {
      expect(processesIn(scratch.netns.id)).toEqual([child.pid]);
    } finally {
      child.kill();
    }
  });

  test("no way back ends the process", () => {
    // The way back is taken away by closing every descriptor that leads there; the child must die of SIGABRT, not go on inside.
    const code = `
      import { enterNetns, Netns } from ${JSON.stringify(join(import.meta.dir, "../../../src/host/netns.ts"))};
      import { close } from ${JSON.stringify(join(import.meta.dir, "../../../native/libc/fd.ts"))};
      import { readdirSync, readlinkSync } from "node:fs";
      const home = readlinkSync("/proc/self/ns/net");
      using there = Netns.open(${JSON.stringify("/proc/PARENT/fd/FD")});
      {
        using _inside = enterNetns(there);
        for (const fd of readdirSync("/proc/self/fd")) {
          try { if (readlinkSync("/proc/self/fd/" + fd) === home) close(Number(fd)); } catch {}
        }
      }
      console.log("still alive");`;
    using scratch = ScratchNetns.make();
    const script = code.replace("/proc/PARENT/fd/FD", scratch.path);
    const child = Bun.spawnSync(["sh", "-c", 'ulimit -c 0; exec "$0" -e "$1"', process.execPath, script]);
    expect([child.stdout.toString(), child.signalCode]).toEqual(["", "SIGABRT"]);
    expect(child.stderr.toString()).toContain("cannot return to the host's network namespace");
  });

  test("kernel settings are those of the namespace", () => {
    using scratch = ScratchNetns.make();
    const path = "net/ipv4/ip_default_ttl";
    const before = readSysctl(path);
    expect([ensureSysctl(path, 77, scratch.netns), ensureSysctl(path, 77, scratch.netns)]).toEqual([true, false]);
    expect([readSysctl(path, scratch.netns), readSysctl(path)]).toEqual(["77", before]);
    expect(ensureSysctl("net/ipv4/no_such_setting", 1, scratch.netns)).toBeUndefined();
  });
});
