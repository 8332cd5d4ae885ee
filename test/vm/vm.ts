// SPDX-License-Identifier: Apache-2.0
// A virtual machine with another kernel (Debian's for clouds: WireGuard, netem and much else as modules) on this machine's own files:
// everything below / is shared with it read-only, what it writes stays in its memory. It runs test files and tells what came out. One of arm64 has a
// small Debian of its own, and of this machine only the repository.
//
//   bun test X.test.ts ─▶ qemu ─▶ init.sh ─▶ guest.sh ─▶ bun test Y.guest.ts
//                    ◀── second serial line: exit code, JUnit report, log ──┘
import { describe, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { initrd } from "./initrd.ts";
import { type CaseResult, readJunit } from "./junit.ts";

export type Machine = "x64" | "arm64";

export interface VmOptions {
  readonly machine?: Machine;
  /** For all of it; then the machine is switched off. */
  readonly limitSeconds?: number;
  readonly memoryMegabytes?: number;
  /** Only tests whose names, with those of their groups, match this; no spaces. */
  readonly only?: string;
}

const REPOSITORY = join(import.meta.dir, "../..");

interface MachineKind {
  /** Kernel, its modules, a shell: made by packaging/setup.sh. */
  readonly directory: string;
  readonly job: string;
  readonly emulator: string;
  readonly options: readonly string[];
  /** What it sees of this machine's files: tag, folder. The first is its root. */
  readonly files: readonly (readonly [tag: string, source: string])[];
  readonly kernel: string;
}
const MACHINES: Readonly<Record<Machine, MachineKind>> = {
  x64: {
    directory: join(REPOSITORY, "dist/vm"),
    job: "vm",
    emulator: "qemu-system-x86_64",
    options: ["-machine", "pc,memory-backend=memory", "-cpu", "max"],
    files: [["host", "/"]],
    kernel: "console=ttyS0 weave.results=ttyS1",
  },
  arm64: {
    directory: join(REPOSITORY, "dist/vm-arm64"),
    job: "vm-arm64",
    emulator: "qemu-system-aarch64",
    // Newer processors sign pointers, and emulating that makes every system call many times slower. And with SVE (`-cpu max,pauth-impdef=on`) Bun 1.4.5
    // crashes or answers nonsense in fetch at most launches, without it (`sve=off`, neoverse-n1, cortex-a72) never; whether that is QEMU's or Bun's fault
    // is not known.
    options: ["-machine", "virt,memory-backend=memory", "-cpu", "cortex-a72"],
    files: [
      ["host", join(REPOSITORY, "dist/vm-arm64/root")],
      ["repository", REPOSITORY],
    ],
    kernel: `console=ttyAMA0 weave.results=ttyS0 weave.repository=${REPOSITORY} kpti=off`,
  },
};

const VIRTIOFSD = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];
/** Without a second processor some races never happen; more are of no use, because each is emulated by one of the host's. */
const PROCESSORS = Math.min(2, cpus().length);
/** A kernel that no longer gets anywhere says where each processor is, and ends the machine. */
const WHEN_STUCK = "softlockup_panic=1 softlockup_all_cpu_backtrace=1 watchdog_thresh=20";
const STUCK = /Kernel panic - not syncing: softlockup/;
/** QEMU and the file server end with the test, however that ends. */
const WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"];

/** Why there can be no virtual machine here; undefined: there can. */
export function whyNoVm(machine: Machine = "x64"): string | undefined {
  const { directory, emulator, job } = MACHINES[machine];
  const missing = (what: string): string => `${what} is missing: bash packaging/setup.sh ${job}`;
  if (process.arch !== "x64") return "the virtual machine is tried on x86-64 only";
  if (process.getuid?.() !== 0) return "needs root";
  if (Bun.which(emulator) === null) return missing(emulator);
  if (!VIRTIOFSD.some(existsSync)) return missing("virtiofsd");
  if (!existsSync(join(directory, "release"))) return missing("the kernel");
  return undefined;
}

/** Runs these files (paths below the repository's root) in one virtual machine, and makes each of their tests one of the calling file's. */
export async function testInVm(files: readonly string[], options: VmOptions = {}): Promise<void> {
  const reason = whyNoVm(options.machine);
  if (reason !== undefined) {
    for (const file of files) test.skip(`${file} (${reason})`, () => {});
    return;
  }
  let outcome = await runInVm(files, options);
  if (STUCK.test(outcome.console)) {
    // Seen once in very many runs, on two emulated processors of a busy machine, and never explained: whoever sees it wants the stacks.
    console.log(outcome.console);
    test.skip("the machine's first try (its kernel got stuck, stacks above)", () => {});
    outcome = await runInVm(files, options);
  }
  for (const file of files) {
    describe(`in the virtual machine: ${file}`, () => {
      const result = outcome.results.get(file);
      if (result?.cases.some((one) => one.outcome === "failed")) console.log(result.log);
      const wanted = new RegExp(options.only ?? "");
      const cases = (result?.cases ?? []).filter(({ name }) => wanted.test(name));
      for (const one of cases) report(one);
      test("the file ran to its end", () => {
        if (result === undefined) throw new Error(`the machine ended before\n${outcome.console}`);
        const hasFailed = cases.some((one) => one.outcome === "failed");
        if (cases.length === 0 || (result.code !== 0 && !hasFailed)) {
          throw new Error(`bun test ended with ${result.code}\n${result.log}\n${outcome.console}`);
        }
      });
    });
  }
}

function report({ name, outcome, seconds, words }: CaseResult): void {
  if (outcome === "skipped") test.skip(name, () => {});
  else {
    test(`${name} (${seconds.toFixed(1)} s)`, () => {
      if (outcome === "failed") throw new Error(words);
    });
  }
}

interface FileResult {
  readonly code: number;
  readonly cases: readonly CaseResult[];
  readonly log: string;
}
interface Outcome {
  readonly results: ReadonlyMap<string, FileResult>;
  /** The end of what the machine said. */
  readonly console: string;
}

/** Runs them and tells what came out. */
export async function runInVm(files: readonly string[], options: VmOptions): Promise<Outcome> {
  const scratch = mkdtempSync(join(tmpdir(), "wvm-"));
  const path = (name: string): string => join(scratch, name);
  const { machine: kind = "x64", limitSeconds = 240, memoryMegabytes = 2048, only = "." } = options;
  const { directory, emulator, options: hardware, files: shared, kernel } = MACHINES[kind];
  writeFileSync(path("initrd"), initrd(directory, files));
  const servers: Bun.Subprocess[] = [];
  try {
    for (const [tag, source] of shared) servers.push(await serveFiles(source, path(tag), path(`${tag}.log`)));
    const machine = Bun.spawn(
      // biome-ignore format: one option after the other
      [...WITH_US, emulator,
        "-accel", "tcg,thread=multi", // not KVM: where the host itself is a virtual machine it may hang
        ...hardware, "-smp", `${PROCESSORS}`, "-m", `${memoryMegabytes}`,
        "-object", `memory-backend-memfd,id=memory,size=${memoryMegabytes}M,share=on`,
        "-nodefaults", "-no-reboot", "-display", "none", "-serial", `file:${path("console")}`,
        "-chardev", `file,id=results,path=${path("results")}`, "-device", "pci-serial,chardev=results",
        ...shared.flatMap(([tag]) => ["-chardev", `socket,id=${tag},path=${path(tag)}`, "-device", `vhost-user-fs-pci,chardev=${tag},tag=${tag}`]),
        "-kernel", join(directory, "vmlinuz"), "-initrd", path("initrd"),
        "-append", `${kernel} ${WHEN_STUCK} quiet panic=-1 mitigations=off weave.limit=${limitSeconds} weave.only=${only}`],
      { stdin: "ignore", stdout: "ignore", stderr: Bun.file(path("qemu.log")) },
    );
    const late = setTimeout(() => machine.kill("SIGKILL"), (limitSeconds + 20) * 1_000);
    await machine.exited;
    clearTimeout(late);
    const said = [path("console"), path("qemu.log")].map((file) => (existsSync(file) ? readFileSync(file, "utf8") : ""));
    const results = existsSync(path("results")) ? readResults(readFileSync(path("results"), "latin1")) : new Map();
    return { results, console: said.join("\n").trim().split("\n").slice(-200).join("\n") };
  } finally {
    for (const server of servers) server.kill();
    await Promise.all(servers.map((server) => server.exited));
    rmSync(scratch, { recursive: true });
  }
}

/** Starts the server of one folder and waits for its socket. */
async function serveFiles(source: string, socket: string, log: string): Promise<Bun.Subprocess> {
  const program = VIRTIOFSD.find(existsSync) ?? "virtiofsd";
  // The root of all files cannot be pivoted into, hence not the sandbox of namespaces; the machine mounts it read-only.
  const command = [program, `--socket-path=${socket}`, "-o", `source=${source}`, "-o", "cache=always", "-o", "sandbox=chroot"];
  const server = Bun.spawn([...WITH_US, ...command], { stdout: "ignore", stderr: Bun.file(log) });
  while (!existsSync(socket)) {
    if (server.exitCode !== null) throw new Error(`virtiofsd did not start: ${readFileSync(log, "utf8")}`);
    await Bun.sleep(10);
  }
  return server;
}

function readResults(text: string): Map<string, FileResult> {
  const results = new Map<string, FileResult>();
  for (const line of text.split("\n")) {
    const [word, file, code, xml = "", log = ""] = line.trim().split(" ");
    if (word !== "result" || file === undefined) continue;
    const [report, words] = [xml, log].map((base64) => Buffer.from(base64, "base64").toString());
    results.set(file, { code: Number(code), cases: readJunit(report ?? ""), log: words ?? "" });
  }
  return results;
}
