// SPDX-License-Identifier: Apache-2.0
// A first launch on a host where something is missing or taken: one line says what, on what, why and what next; the kernel stays as it was.
//
//   a host of its own for each test, alone
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { type Finished, run } from "../support/command.ts";
import { Lab } from "../support/lab.ts";
import { EXECUTABLE, type Host } from "../support/lab-host.ts";
import { networkOf, type Snapshot } from "../support/snapshot.ts";
import { waitFor } from "../support/wait.ts";
import { statusOf } from "../support/weave.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(async () => await lab?.close());

async function newHost(name: string): Promise<Host> {
  const [host] = (await lab.addHosts(name)) as [Host];
  return host;
}

/** Links, addresses, routes and pins: what of the kernel a launch touches. */
async function kernelOf(host: Host): Promise<Snapshot> {
  return { ...(await networkOf(host)), pins: readdirSync(host.file("/sys/fs/bpf")).sort() };
}

/** Runs a command where `change` has been done to the mounts, and only there. */
async function withMounts(host: Host, change: string, ...args: readonly string[]): Promise<Finished> {
  const script = `${change}; exec "$@"`;
  return await host.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", EXECUTABLE, ...args]);
}

function oneLine({ code, stdout, stderr }: Finished, words: RegExp): void {
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(words);
  expect(stderr.trimEnd().split("\n").length).toBe(1);
}

/** Shell words that hide a library, or undefined when this machine does not have it. */
async function hiding(soname: string): Promise<string> {
  const { stdout } = await run(["ldconfig", "-p"]);
  const path = stdout
    .split("\n")
    .find((line) => line.trim().startsWith(`${soname} `))
    ?.split(" => ")[1];
  if (path === undefined) throw new Error(`${soname} is not installed`);
  const folder = dirname((await run(["readlink", "-f", path])).stdout.trim());
  const overlay = `lowerdir=${folder},upperdir=/run/hide/up,workdir=/run/hide/work`;
  return `mkdir -p /run/hide && mount -t tmpfs none /run/hide && mkdir /run/hide/up /run/hide/work && mount -t overlay none -o ${overlay} ${folder} && rm -f ${folder}/${soname.replace(/\.so.*/, "")}.so*`;
}

describe("a first launch", () => {
  const CASES: readonly (readonly [what: string, change: () => Promise<string>, words: RegExp])[] = [
    [
      "without a BPF file system",
      async () => "umount /sys/fs/bpf",
      /BPF file system; mount it with 'mount -t bpf bpf \/sys\/fs\/bpf'/,
    ],
    [
      "on a read-only BPF file system",
      async () => "mount -o remount,ro /sys/fs/bpf",
      /'\/sys\/fs\/bpf\/weave': read-only file system; /,
    ],
    // It takes the copy of libbpf inside the executable with it, which needs the same.
    [
      "without libelf",
      () => hiding("libelf.so.1"),
      /cannot use libbpf\.so\.1: libelf\.so\.1: [^;]*No such file[^;]*; install libelf1/,
    ],
    ["without libsodium", () => hiding("libsodium.so.23"), /cannot load libsodium[^;]*; install libsodium23/],
    ["with a read-only /run", async () => "mount -t tmpfs -o ro none /run", /cannot use '\/run\/weave': read-only file system; /],
    [
      "with a read-only data directory",
      async () => "mkdir /var/lib/weave && mount -t tmpfs -o ro none /var/lib/weave",
      /'\/var\/lib\/weave\/launch\.json': read-only file system; /,
    ],
  ];
  for (const [index, [what, change, words]] of CASES.entries()) {
    test(`${what} says so in one line and leaves the kernel as it was`, async () => {
      const host = await newHost(`h${index + 1}`);
      const before = await kernelOf(host);
      oneLine(await withMounts(host, await change(), "launch"), words);
      expect(await kernelOf(host)).toEqual(before);
      expect(existsSync(host.file("/var/lib/weave/launch.json"))).toBe(false);
      expect(host.daemonPid()).toBeUndefined();
    });
  }

  test("beside an earlier Weave Net that still runs touches neither its bridge nor its data port", async () => {
    const host = await newHost("old");
    await host.must(["ip", "-batch", "-"], {
      stdin: [
        "link add weave type bridge",
        "address add 10.32.0.1/12 dev weave",
        "link set weave up",
        "link add vxlan-6784 type vxlan external dstport 6784",
        "link set vxlan-6784 up",
      ].join("\n"),
    });
    host.background(["socat", "TCP-LISTEN:6783,reuseaddr,fork", "EXEC:true"]);
    await waitFor("a listener on 6783", async () => (await host.must(["ss", "-ltn"])).includes(":6783"));
    const before = await kernelOf(host);
    oneLine(await host.weave("launch"), /cannot listen on TCP port 6783: another program uses it; find the program with/);
    expect(await kernelOf(host)).toEqual(before);
  });
});

test("weave's own copy of libbpf serves where there is none, and reset removes everything without any", async () => {
  const host = await newHost("reset");
  const before = await kernelOf(host);
  const withoutLibbpf = await hiding("libbpf.so.1");
  expect((await withMounts(host, withoutLibbpf, "version", "--verbose")).stdout).toContain("libbpf.so.1 (weave's own copy)");
  expect(await withMounts(host, withoutLibbpf, "launch")).toMatchObject({ code: 0 });
  expect((await statusOf(host)).router.overlayDiagnostics).toHaveProperty("fastdp");
  await host.mustWeave("stop");
  expect(await withMounts(host, await hiding("libelf.so.1"), "reset")).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(await kernelOf(host)).toEqual(before);
});
