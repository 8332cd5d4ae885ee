// SPDX-License-Identifier: Apache-2.0
// What the service costs a host that has systemd, the package and a network of two: start, boot, idle, commands.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Machine, Machines } from "../hosts/machine.ts";
import { must } from "../support/command.ts";
import { waitFor } from "../support/wait.ts";
import { median, table } from "./figures.ts";

const GOALS = { readyMs: 500, bootMs: 300, rssMb: 50, cpuPercent: 0.1, statusMs: 30, versionMs: 10 } as const;
const BOOTS = 5;
const TICKS_PER_SECOND = 100; // USER_HZ, also where the kernel counts finer

export async function benchService(options: { readonly times: number; readonly idleSeconds: number }): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), "weave-deb-"));
  try {
    const version = "3.0.0~bench";
    const flags = ["--arch", "x64", "--only", "deb", "--quick", "--version", version, "--directory", directory];
    await must([process.execPath, "packaging/package.ts", ...flags], { deadlineMs: 120_000 });
    await using machines = await Machines.boot("h1", "h2");
    const [h1, h2] = machines.all as [Machine, Machine];
    for (const machine of [h1, h2]) {
      await machine.put(join(directory, `weave_${version}_amd64.deb`), "/root/weave.deb");
      await machine.sh("dpkg -i /root/weave.deb >/dev/null 2>&1 && systemctl enable --quiet --now weave");
    }
    await h2.sh(`weave connect ${h1.address}; weave expose`);
    await h1.sh("weave expose; ip netns add box; weave attach /run/netns/box");
    await waitFor("the connection", async () => /established/.test(await h1.sh("weave status connections")), {
      deadlineMs: 30_000,
    });
    return print(await measure(h1, options));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Row {
  readonly what: string;
  readonly value: number;
  readonly goal?: number | undefined;
}

async function measure(host: Machine, { times, idleSeconds }: { times: number; idleSeconds: number }): Promise<Row[]> {
  const readyMs: number[] = [];
  for (let time = 0; time < times; time++) {
    await host.sh("systemctl restart weave");
    readyMs.push(await between(host, "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"));
  }
  const idle = await idleOf(host, idleSeconds);
  const rows = [
    { what: "start to READY, with state, ms (median)", value: median(readyMs), goal: GOALS.readyMs },
    { what: "idle: resident memory, MB", value: idle.rssMb, goal: GOALS.rssMb },
    { what: `idle: processor over ${idleSeconds} s, % of a core`, value: idle.cpuPercent, goal: GOALS.cpuPercent },
    { what: "weave status, ms (median)", value: await commandMs(host, "weave status", times), goal: GOALS.statusMs },
    { what: "weave version, ms (median)", value: await commandMs(host, "weave version", times), goal: GOALS.versionMs },
  ];
  return [...rows, ...(await boots(host))];
}

/** The same host boots with weave and without it, in turn. */
async function boots(host: Machine): Promise<Row[]> {
  const ms: Record<"enable" | "disable", number[]> = { enable: [], disable: [] };
  const turnMs: number[] = [];
  for (let time = 0; time < BOOTS; time++) {
    for (const verb of ["disable", "enable"] as const) {
      await host.sh(`systemctl ${verb} --quiet weave`);
      await host.reboot();
      const isUp = async (): Promise<boolean> => (await host.run("systemctl is-active multi-user.target")).code === 0;
      await waitFor("the host", isUp, { deadlineMs: 60_000 });
      ms[verb].push(await between(host, "UserspaceTimestampMonotonic", "FinishTimestampMonotonic", ""));
      if (verb === "enable") turnMs.push(await between(host, "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic"));
    }
  }
  const delayMs = median(ms.enable) - median(ms.disable);
  return [
    { what: `boot: later than the ${median(ms.disable).toFixed(0)} ms without weave, ms`, value: delayMs, goal: GOALS.bootMs },
    { what: "boot: from its turn to READY, ms (median)", value: median(turnMs) },
  ];
}

/** Of the service, or of the manager when `unit` is empty. */
async function between(host: Machine, from: string, to: string, unit = "weave"): Promise<number> {
  const text = await host.sh(`systemctl show ${unit} -p ${from} -p ${to}`);
  const of = (name: string): number => Number(new RegExp(`^${name}=(\\d+)$`, "m").exec(text)?.[1]) / 1_000;
  return of(to) - of(from);
}

/** After the daemon has tidied up behind its start. */
async function idleOf(host: Machine, seconds: number): Promise<{ rssMb: number; cpuPercent: number }> {
  const pid = (await host.sh("systemctl show -p MainPID --value weave")).trim();
  const used = async (): Promise<number> => {
    const stat = (await host.sh(`cat /proc/${pid}/stat`)).split(") ")[1]?.split(" ") ?? [];
    return Number(stat[11]) + Number(stat[12]); // utime and stime, proc_pid_stat(5)
  };
  await Bun.sleep(65_000);
  const before = await used();
  await Bun.sleep(seconds * 1_000);
  const cpuPercent = (100 * ((await used()) - before)) / TICKS_PER_SECOND / seconds;
  const rssKb = /^VmRSS:\s+(\d+) kB$/m.exec(await host.sh(`cat /proc/${pid}/status`))?.[1];
  return { rssMb: Number(rssKb) / 1_024, cpuPercent };
}

/** As the host's own shell sees it, without what it takes us to get there. */
async function commandMs(host: Machine, command: string, times: number): Promise<number> {
  const loop = `for i in $(seq ${times}); do s=$(date +%s%N); ${command} >/dev/null; echo $(( ($(date +%s%N) - s) / 1000 )); done`;
  return median((await host.sh(loop)).trim().split("\n").map(Number)) / 1_000;
}

function print(rows: readonly Row[]): boolean {
  const lines = rows.map(({ what, value, goal }) => [
    what,
    value.toFixed((goal ?? 1) < 1 ? 2 : 1),
    goal === undefined ? "" : `< ${goal}`,
    isMissed({ value, goal }) ? "missed" : "",
  ]);
  console.log(table(["", "", "goal", ""], lines));
  return !rows.some(isMissed);
}

function isMissed({ value, goal }: Pick<Row, "value" | "goal">): boolean {
  return goal !== undefined && value >= goal;
}
