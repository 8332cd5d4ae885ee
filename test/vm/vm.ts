// SPDX-License-Identifier: Apache-2.0
// A virtual machine with another kernel (Debian's for clouds: WireGuard, netem and much else as modules) on this machine's own files:
// everything below / is shared with it read-only, what it writes stays in its memory. It runs test files and tells what came out.
//
//   bun test X.test.ts ─▶ qemu ─▶ init.sh ─▶ guest.sh ─▶ bun test Y.guest.ts
//                    ◀── second serial line: exit code, JUnit report, log ──┘
import { describe, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { initrd, VM_DIRECTORY } from "./initrd.ts";
import { type CaseResult, readJunit } from "./junit.ts";

export interface VmOptions {
  /** For all of it; then the machine is switched off. */
  readonly limitSeconds?: number;
  readonly memoryMegabytes?: number;
}

const VIRTIOFSD = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];
/** Without a second processor some races never happen; more are of no use, because each is emulated by one of the host's. */
const PROCESSORS = Math.min(2, cpus().length);
/** QEMU and the file server end with the test, however that ends. */
const WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"];

/** Why there can be no virtual machine here; undefined: there can. */
export function whyNoVm(): string | undefined {
  if (process.arch !== "x64") return "the virtual machine is of x86-64 only";
  if (process.getuid?.() !== 0) return "needs root";
  if (Bun.which("qemu-system-x86_64") === null) return "qemu-system-x86_64 is missing: bash packaging/setup.sh vm";
  if (!VIRTIOFSD.some(existsSync)) return "virtiofsd is missing: bash packaging/setup.sh vm";
  if (!existsSync(join(VM_DIRECTORY, "release"))) return "the kernel is missing: bash packaging/setup.sh vm";
  return undefined;
}

/** Runs these files (paths below the repository's root) in one virtual machine, and makes each of their tests one of the calling file's. */
export async function testInVm(files: readonly string[], options: VmOptions = {}): Promise<void> {
  const reason = whyNoVm();
  if (reason !== undefined) {
    for (const file of files) test.skip(`${file} (${reason})`, () => {});
    return;
  }
  const outcome = await runInVm(files, options);
  for (const file of files) {
    describe(`in the virtual machine: ${file}`, () => {
      const result = outcome.results.get(file);
      if (result?.cases.some((one) => one.outcome === "failed")) console.log(result.log);
      for (const one of result?.cases ?? []) report(one);
      test("the file ran to its end", () => {
        if (result === undefined) throw new Error(`the machine ended before\n${outcome.console}`);
        const hasFailed = result.cases.some((one) => one.outcome === "failed");
        if (result.cases.length === 0 || (result.code !== 0 && !hasFailed)) {
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
  const directory = mkdtempSync(join(tmpdir(), "wvm-"));
  const path = (name: string): string => join(directory, name);
  const { limitSeconds = 240, memoryMegabytes = 2048 } = options;
  const release = readFileSync(join(VM_DIRECTORY, "release"), "utf8").trim();
  writeFileSync(path("initrd"), initrd(release, files));
  const server = Bun.spawn([...WITH_US, ...fileServer(path("files"))], {
    stdout: "ignore",
    stderr: Bun.file(path("server.log")),
  });
  try {
    while (!existsSync(path("files"))) {
      if (server.exitCode !== null) throw new Error(`virtiofsd did not start: ${readFileSync(path("server.log"), "utf8")}`);
      await Bun.sleep(10);
    }
    const kernel = `console=ttyS0 quiet panic=-1 mitigations=off weave.limit=${limitSeconds}`;
    const machine = Bun.spawn(
      // biome-ignore format: one option after the other
      [...WITH_US, "qemu-system-x86_64",
        "-accel", "tcg,thread=multi", // not KVM: where the host itself is a virtual machine it may hang
        "-cpu", "max", "-smp", `${PROCESSORS}`, "-m", `${memoryMegabytes}`,
        "-object", `memory-backend-memfd,id=memory,size=${memoryMegabytes}M,share=on`, "-numa", "node,memdev=memory",
        "-nodefaults", "-no-reboot", "-display", "none",
        "-serial", `file:${path("console")}`, "-serial", `file:${path("results")}`,
        "-chardev", `socket,id=files,path=${path("files")}`, "-device", "vhost-user-fs-pci,chardev=files,tag=host",
        "-kernel", join(VM_DIRECTORY, "vmlinuz"), "-initrd", path("initrd"), "-append", kernel],
      { stdin: "ignore", stdout: "ignore", stderr: Bun.file(path("qemu.log")) },
    );
    const late = setTimeout(() => machine.kill("SIGKILL"), (limitSeconds + 20) * 1_000);
    await machine.exited;
    clearTimeout(late);
    const said = [path("console"), path("qemu.log")].map((file) => (existsSync(file) ? readFileSync(file, "utf8") : ""));
    const results = existsSync(path("results")) ? readResults(readFileSync(path("results"), "latin1")) : new Map();
    return { results, console: said.join("\n").trim().split("\n").slice(-60).join("\n") };
  } finally {
    server.kill();
    await server.exited;
    rmSync(directory, { recursive: true });
  }
}

function fileServer(socket: string): string[] {
  const program = VIRTIOFSD.find(existsSync) ?? "virtiofsd";
  // The root of all files cannot be pivoted into, hence not the sandbox of namespaces; the machine mounts it read-only.
  return [program, `--socket-path=${socket}`, "-o", "source=/", "-o", "cache=always", "-o", "sandbox=chroot"];
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
