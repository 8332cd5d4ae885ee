// SPDX-License-Identifier: Apache-2.0
// What the README tells people to type works: every line of its blocks, in its order, on two hosts with the package and Docker.
//
//   host1# command    on that host; lines without a prompt in a block about hosts: on both
//   10.32.0.1         what the command before prints; another address of the same kind may come, and stands for it from then on
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "../support/command.ts";
import { PATIENCE } from "../support/wait.ts";
import { IMAGE, type Machine, Machines, whyNoHosts } from "./machine.ts";

const README = new URL("../../README.md", import.meta.url).pathname;
/** Commands that cannot be run here, by how they begin, and why. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  npm: "this test is a part of what they run",
  dnf: "no distribution with it can be had here",
};
const PROMPT = /^(host[12])# (.*)$/;
const IP = /^\d{1,3}(?:\.\d{1,3}){3}$/;

interface Line {
  readonly number: number;
  /** undefined: both. */
  readonly host: string | undefined;
  readonly command: string;
  readonly prints: readonly string[];
}

function linesOf(readme: string): Line[] {
  const lines: Line[] = [];
  let inside = false;
  for (const [index, text] of readme.split("\n").entries()) {
    if (text.startsWith("```")) inside = text === "```sh";
    else if (inside && text.trim() !== "") {
      const [, host, rest] = PROMPT.exec(text) ?? [];
      const before = lines.at(-1);
      if (host === undefined && before?.host !== undefined && IP.test(text))
        lines[lines.length - 1] = { ...before, prints: [...before.prints, text] };
      else lines.push({ number: index + 1, host, command: (rest ?? text).replace(/\s{2,}# .*$/, ""), prints: [] });
    }
  }
  return lines;
}

const why = whyNoHosts("docker");
if (why !== undefined) console.warn(`skipped: hosts with Docker: ${why}`);

describe.skipIf(why !== undefined)("the README", () => {
  const lines = linesOf(readFileSync(README, "utf8"));
  const runnable = lines.filter(({ command }) => !Object.keys(ELSEWHERE).some((word) => command.startsWith(`${word} `)));
  const directory = mkdtempSync(join(tmpdir(), "weave-readme-"));
  let machines: Machines;
  let hosts: ReadonlyMap<string, Machine>;

  beforeAll(async () => {
    const options = ["--arch", "x64", "--only", "deb", "--quick", "--directory", directory];
    const [booted] = await Promise.all([
      Machines.bootWithDocker("h1", "h2"),
      must([process.execPath, "packaging/package.ts", ...options], { deadlineMs: 120_000 }),
    ]);
    machines = booted;
    const [h1, h2] = machines.all as [Machine, Machine];
    hosts = new Map([
      ["host1", h1],
      ["host2", h2],
    ]);
    const deb = [...new Bun.Glob("weave_*_amd64.deb").scanSync(directory)].join();
    await Promise.all(
      [...hosts.values()].map(async (machine) => {
        await machine.put(join(directory, deb), `/root/${deb}`);
        await machine.sh(
          `for name in ${[...hosts].map(([name, { address }]) => `${name}=${address}`).join(" ")}; do echo "\${name#*=} \${name%=*}" >>/etc/hosts; done`,
        );
        await machine.startDocker();
      }),
    );
    // Stands for the image of that name, which cannot be fetched here.
    await h1.sh(`docker export $(docker create ${IMAGE} true) | docker import -c 'CMD ["sleep", "600"]' - nginx`);
    await h1.sh(`docker run -d --name web ${IMAGE} sleep 600`);
    await h2.sh(`docker run -d --name db ${IMAGE} sleep 600`);
  }, 180_000);
  afterAll(async () => {
    await machines?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  test("has something to type on hosts", () => {
    expect(runnable.filter(({ host }) => host !== undefined).length).toBeGreaterThan(4);
    expect(runnable.filter(({ host }) => host === undefined).length).toBeGreaterThan(1);
  });

  test(
    "says what works, in the order in which it says it",
    async () => {
      const actual = new Map<string, string>();
      /** Of the shell of each host: it would still know. */
      const setUp = new Map<string, string>();
      for (const { number, host, command, prints } of runnable) {
        const typed = command.replace(/\d{1,3}(?:\.\d{1,3}){3}/g, (address) => actual.get(address) ?? address);
        for (const name of host === undefined ? hosts.keys() : [host]) {
          const before = setUp.get(name) ?? "";
          const { code, stdout, stderr } = (await hosts.get(name)?.run(`cd; ${before}${typed}`)) ?? {
            code: -1,
            stdout: "",
            stderr: "no such host",
          };
          const outcome = `line ${number}, ${name}# ${typed}: ${code} ${code === 0 ? "" : stderr || stdout}`.trim();
          expect(outcome).toBe(`line ${number}, ${name}# ${typed}: 0`);
          if (/^(eval|export) /.test(typed)) setUp.set(name, `${before}${typed}\n`);
          if (prints.length === 0) continue;
          const printed = stdout.trim().split("\n");
          expect([number, printed.map((line) => IP.test(line))]).toEqual([number, prints.map(() => true)]);
          for (const [index, address] of prints.entries()) {
            expect(actual.get(address) ?? printed[index]).toBe(printed[index] ?? "");
            actual.set(address, printed[index] ?? "");
          }
        }
      }
    },
    60_000 * PATIENCE,
  );
});
