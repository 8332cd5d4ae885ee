// SPDX-License-Identifier: Apache-2.0
// A virtual machine with Debian's cloud kernel, for what this machine's kernel lacks: WireGuard, netem, an older BPF. QEMU emulates the processor
// (KVM is not asked for), and the whole root is in the initramfs: the programs the tests call with their libraries, the modules, Bun and this repository.
// Tests for it are files in test/vm/guest, ordinary bun:test files that use test/support as the lab does.
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
/** Where setup.sh unpacks the kernel's package. */
export const KERNEL_FOLDER = join(ROOT, "dist/vm-kernel");
const MEMORY_MB = 3072;
const PROGRAMS = [
  ..."bash sh env cat sed grep ls ln mkdir mount umount rm rmdir cp mv touch tail head sleep true false sync printf echo tr cut wc".split(
    " ",
  ),
  ..."sort uniq kill id uname hostname mktemp chmod readlink dd seq timeout".split(" "),
  ..."ip tc bridge ping nsenter unshare setpriv modprobe sysctl ps nft iperf3 ethtool socat tcpdump".split(" "),
];
/** Opened by the programs themselves, so no linker names them. */
const LIBRARIES = ["libpcap.so.0.8", "libsodium.so.23", "libbpf.so.1", "libnftables.so.1", "libgcc_s.so.1"];

export interface GuestOutcome {
  readonly isFine: boolean;
  readonly output: string;
}

/** Why no machine can be made here; undefined: one can. */
export function machineMissing(): string | undefined {
  if (process.arch !== "x64") return `the machine is for x86-64, this is ${process.arch}`;
  const missing = ["qemu-system-x86_64", "cpio", "depmod"].filter((name) => which(name) === undefined);
  if (missing.length > 0) return `not installed: ${missing.join(", ")}`;
  return kernelVersion() === undefined ? "the cloud kernel's package was not unpacked (packaging/setup.sh test)" : undefined;
}

const PATHS = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`;
function which(name: string): string | undefined {
  return Bun.which(name, { PATH: PATHS }) ?? undefined;
}
function kernelVersion(): string | undefined {
  const folder = join(KERNEL_FOLDER, "lib/modules");
  return existsSync(folder) ? readdirSync(folder)[0] : undefined;
}

function run(command: readonly string[], options: { cwd?: string; stdin?: string } = {}): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, PATH: PATHS },
  });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString() || stdout.toString()}`);
  return stdout.toString();
}

/** Makes a root, boots it, runs these tests in it. Everything of it is gone afterwards. @throws {Error} it did not come to an end */
export async function runInMachine(tests: readonly string[], deadlineMs: number): Promise<GuestOutcome> {
  const folder = mkdtempSync(join(tmpdir(), "weave-vm-"));
  try {
    const root = join(folder, "root");
    makeRoot(root);
    const image = join(folder, "root.cpio");
    run(["sh", "-c", `find . | cpio -o -H newc --quiet > ${image}`], { cwd: root });
    rmSync(root, { recursive: true });
    return await boot(image, tests, deadlineMs);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function makeRoot(root: string): void {
  for (const name of [
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "root",
    "var/lib",
    "etc",
    "mnt",
    "usr/bin",
    "usr/local/bin",
    "usr/sbin",
  ]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  for (const name of ["bin", "sbin", "lib", "lib64"]) symlinkSync(`usr/${name}`, join(root, name));
  const programs = PROGRAMS.flatMap((name) => which(name) ?? []);
  const bun = process.execPath;
  copyFileSync(bun, join(root, "usr/local/bin/bun"));
  for (const program of programs) copyFileSync(program, join(root, "usr/bin", program.slice(program.lastIndexOf("/") + 1)));
  const linked = [bun, ...programs, ...libraryPaths()];
  for (const library of new Set([...linked.flatMap(librariesOf), ...libraryPaths()])) copyTo(root, library);
  copyTerminals(root);
  const version = kernelVersion() ?? "";
  cpSync(join(KERNEL_FOLDER, "lib/modules", version, "kernel"), join(root, "usr/lib/modules", version, "kernel"), {
    recursive: true,
    filter: (path) => !/\/(sound|drivers\/(gpu|scsi|infiniband|media|usb|nvme|ata|block|hv|xen))(\/|$)/.test(path),
  });
  for (const list of ["modules.order", "modules.builtin", "modules.builtin.modinfo"]) {
    copyFileSync(join(KERNEL_FOLDER, "lib/modules", version, list), join(root, "usr/lib/modules", version, list));
  }
  run(["depmod", "-b", join(root, "usr"), version]);
  for (const part of ["src", "native", "test", "package.json", "tsconfig.json", "bunfig.toml"]) {
    cpSync(join(ROOT, part), join(root, "weave", part), { recursive: true });
  }
  for (const name of ["msgpackr", "ip-address", "citty", "consola", "fast-check", "pure-rand"]) {
    const from = join(ROOT, "node_modules", name);
    if (existsSync(from)) cpSync(from, join(root, "weave/node_modules", name), { recursive: true, dereference: true });
  }
  mkdirSync(join(root, "weave/dist"));
  copyFileSync(process.env["WEAVE_EXECUTABLE"] ?? join(ROOT, "dist/weave"), join(root, "weave/dist/weave"));
  cpSync(join(ROOT, "dist/bpf"), join(root, "weave/dist/bpf"), { recursive: true });
  copyFileSync(join(import.meta.dir, "init.sh"), join(root, "init"));
  run(["chmod", "755", join(root, "init")]);
}

function copyTo(root: string, path: string): void {
  // Whatever the link's path is, /lib is /usr/lib in there.
  const target = join(root, path.startsWith("/lib") ? `/usr${path}` : path);
  mkdirSync(dirname(target), { recursive: true });
  if (!existsSync(target)) copyFileSync(path, target);
}
// `cat` for ping's user database and the like: programs look for names.
function copyTerminals(root: string): void {
  for (const file of ["/etc/passwd", "/etc/group", "/etc/protocols", "/etc/services", "/etc/nsswitch.conf"]) {
    if (existsSync(file)) copyFileSync(file, join(root, file));
  }
}

function libraryPaths(): string[] {
  const known = run(["ldconfig", "-p"]).split("\n");
  return LIBRARIES.flatMap(
    (name) => known.find((line) => line.trim().startsWith(`${name} `) && line.includes("x86-64"))?.split("=> ")[1] ?? [],
  );
}
function librariesOf(program: string): string[] {
  const { stdout } = Bun.spawnSync(["ldd", program], { stdout: "pipe", stderr: "ignore" });
  return [...stdout.toString().matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
}

async function boot(image: string, tests: readonly string[], deadlineMs: number): Promise<GuestOutcome> {
  const kernel = join(KERNEL_FOLDER, "boot", `vmlinuz-${kernelVersion()}`);
  const machine = Bun.spawn(
    [
      ...["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", `${MEMORY_MB}`],
      ...["-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel", kernel, "-initrd", image],
      ...["-append", `console=ttyS0 quiet panic=-1 rootfstype=tmpfs rdinit=/init weave.tests=${tests.join(",")}`],
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe", env: { ...process.env, PATH: PATHS } },
  );
  const timer = setTimeout(() => machine.kill("SIGKILL"), deadlineMs);
  const output = await new Response(machine.stdout).text();
  await machine.exited;
  clearTimeout(timer);
  const outcome = /VM-OUTCOME: (\S+)/.exec(output)?.[1];
  if (outcome === undefined) {
    throw new Error(`the machine did not finish: ${await new Response(machine.stderr).text()}\n${output.slice(-4_000)}`);
  }
  return { isFine: outcome === "0", output };
}
