// SPDX-License-Identifier: Apache-2.0
// Real hosts on one machine: containers of systemd-nspawn with systemd as their first process, an overlay each over one root file system
// (packaging/setup.sh hosts), and one segment between them: hN has 192.168.48.(10+N) on eth0. On request they have Docker, which does not run until
// `startDocker`, firewalld and ufw.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Finished, must, run } from "../support/command.ts";
import { waitFor } from "../support/wait.ts";

type Kind = "base" | "docker";
const ARCHIVES = { base: "base.tar", docker: "services.tar" } as const;
const archiveOf = (kind: Kind): string => new URL(`../../dist/hosts/${ARCHIVES[kind]}`, import.meta.url).pathname;
const DROP_IN = "/etc/systemd/system/docker.service.d/cgroups.conf";
/** Debian's unit is not started a fourth time within a minute, which tests do. */
const NO_LIMIT = "'[Unit]' StartLimitIntervalSec=0";
/** nspawn shows the older cgroups read-only. */
const CGROUPS = `'ExecStartPre=/bin/sh -c "for d in /sys/fs/cgroup/*; do [ -L $$d ] || mount -o remount,bind,rw $$d; done"'`;
/** The image that `startDocker` makes: busybox. */
export const IMAGE = "box";
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
/** What a container may not do by default and a switch in BPF needs. */
const CALLS = "bpf add_key keyctl perf_event_open @raw-io @module";

/** Other releases of which machines can be booted, where packaging/setup.sh could get them. */
export const RELEASES = ["debian11", "debian13", "ubuntu2204", "ubuntu2404"] as const;
export type Release = (typeof RELEASES)[number];
const releaseArchive = (release: Release): string => new URL(`../../dist/hosts/${release}.tar`, import.meta.url).pathname;
export function hasRelease(release: Release): boolean {
  return existsSync(releaseArchive(release));
}

/** Why there can be no hosts here; undefined: there can. */
export function whyNoHosts(kind: Kind = "base"): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(archiveOf(kind))) return "the root file system is missing: bash packaging/setup.sh hosts";
  return undefined;
}

/** Hosts on one segment. */
export class Machines implements AsyncDisposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "weave-hosts-"));
  readonly #base = join(this.#directory, "base");
  readonly #bridge = `wh${process.pid}`;
  readonly #machines: Machine[] = [];

  /** Boots them side by side and waits until systemd has started everything. */
  static boot(...names: readonly string[]): Promise<Machines> {
    return Machines.#boot("base", names);
  }
  /** Hosts on which Docker runs, and weave as a service, connected. */
  static async bootWithDocker(...names: readonly string[]): Promise<Machines> {
    const machines = await Machines.#boot("docker", names);
    try {
      await Promise.all(machines.all.map((machine) => machine.installWeave().then(() => machine.startDocker())));
      const [first, ...others] = machines.all;
      await first?.sh("weave launch");
      for (const other of others) await other.sh(`weave launch ${first?.address}`);
      return machines;
    } catch (thrown) {
      await machines[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  static async #boot(kind: Kind, names: readonly string[]): Promise<Machines> {
    const machines = new Machines();
    try {
      mkdirSync(machines.#base);
      await must(["tar", "-C", machines.#base, "-xf", archiveOf(kind)], { deadlineMs: 120_000 });
      await must(["ip", "link", "add", machines.#bridge, "type", "bridge"]);
      await must(["ip", "link", "set", machines.#bridge, "up"]);
      for (const [index, name] of names.entries()) {
        const machine = new Machine(name, `192.168.48.${11 + index}`, {
          directory: join(machines.#directory, name),
          base: machines.#base,
          bridge: machines.#bridge,
          kind,
        });
        machines.#machines.push(machine);
      }
      await Promise.all(machines.#machines.map((machine) => machine.boot()));
      return machines;
    } catch (thrown) {
      await machines[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  get all(): readonly Machine[] {
    return this.#machines;
  }

  /** One more, of another release. */
  async addOf(release: Release, name: string): Promise<Machine> {
    const base = join(this.#directory, release);
    mkdirSync(base);
    await must(["tar", "-C", base, "-xf", releaseArchive(release)], { deadlineMs: 60_000 });
    return await this.#add(name, base);
  }

  /** One more, booted from a copy of the other's disk as it is now: with its identity, machine id, host name. */
  async addCopyOf(original: Machine, name: string): Promise<Machine> {
    const directory = join(this.#directory, name);
    mkdirSync(directory);
    await must(["cp", "-a", join(this.#directory, original.name, "upper"), directory], { deadlineMs: 60_000 });
    return await this.#add(name, this.#base);
  }

  async #add(name: string, base: string): Promise<Machine> {
    const place = { directory: join(this.#directory, name), base, bridge: this.#bridge, kind: "base" as const };
    const machine = new Machine(name, `192.168.48.${11 + this.#machines.length}`, place);
    this.#machines.push(machine);
    await machine.boot();
    return machine;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#machines.map((machine) => machine.remove()));
    await run(["ip", "link", "del", this.#bridge]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export class Machine {
  readonly name: string;
  readonly address: string;
  readonly #directory: string;
  readonly #base: string;
  readonly #bridge: string;
  readonly #link: string;
  readonly #kind: Kind;
  #nspawn: Bun.Subprocess | undefined;
  /** Of its first process, as we see it. */
  #pid = 0;

  constructor(name: string, address: string, place: { directory: string; base: string; bridge: string; kind: Kind }) {
    const { directory, base, bridge } = place;
    this.#kind = place.kind;
    this.name = name;
    this.address = address;
    this.#directory = directory;
    this.#base = base;
    this.#bridge = bridge;
    this.#link = `${bridge}-${name}`;
  }

  /** Its files as it sees them itself, what is mounted in it included; another path after each boot. */
  get files(): string {
    return `/proc/${this.#pid}/root`;
  }
  get root(): string {
    return join(this.#directory, "root");
  }

  /** Makes its disk the first time; a host that was shut down boots from the one it had. */
  async boot(): Promise<void> {
    const [root, upper, work] = ["root", "upper", "work"].map((part) => join(this.#directory, part)) as [string, string, string];
    if (!existsSync(root)) {
      const isCopy = existsSync(upper);
      for (const path of [root, upper, work]) mkdirSync(path, { recursive: true });
      await must(["mount", "-t", "overlay", "overlay", "-o", `lowerdir=${this.#base},upperdir=${upper},workdir=${work}`, root]);
      if (!isCopy) this.#settle(root);
    }
    const flags = [`--machine=${this.#link}`, `--hostname=${this.name}`, "--boot", "--private-network", "--register=no"];
    const more = ["--keep-unit", "--capability=all", "--resolv-conf=off", "--timezone=off", `--system-call-filter=${CALLS}`];
    rmSync(join(this.#directory, "console"), { force: true }); // or the end of the last boot would stand behind this one
    this.#nspawn = Bun.spawn(["systemd-nspawn", "-q", "-D", root, ...flags, ...more, "--bind=/dev/net/tun", ...this.#binds()], {
      stdin: "ignore",
      stdout: Bun.file(join(this.#directory, "console")),
      stderr: Bun.file(join(this.#directory, "console")),
      env: { PATH, SYSTEMD_NSPAWN_API_VFS_WRITABLE: "yes" },
    });
    const { found } = await waitFor(`${this.name} to begin`, () => this.#firstProcess(), { show: () => this.console() });
    this.#pid = found;
    // As systemd does it early on a host that is no container, before services start.
    await this.sh("mkdir -p /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf");
    await this.#plug();
    await waitFor(`${this.name} to be up`, () => this.#isUp(), { deadlineMs: 60_000, everyMs: 100, show: () => this.console() });
  }

  /** Docker keeps its data on the outer disk: an overlay cannot lie on this host's, which is one. */
  #binds(): string[] {
    if (this.#kind !== "docker") return [];
    const data = join(this.#directory, "docker");
    mkdirSync(data, { recursive: true });
    return [`--bind=${data}:/var/lib/docker`];
  }

  /** As the package does it: the executable, its unit and its group. */
  async installWeave(): Promise<void> {
    await this.put("dist/weave", "usr/bin/weave");
    await this.put("systemd/weave.service", "usr/lib/systemd/system/weave.service");
    await this.sh("groupadd -r weave; chmod 755 /usr/bin/weave; systemctl daemon-reload; systemctl enable --quiet weave");
  }

  /** Starts Docker, now and at every boot, and makes the image. */
  async startDocker(): Promise<void> {
    await this.sh(
      `mkdir -p /etc/systemd/system/docker.service.d; printf '%s\\n' ${NO_LIMIT} '[Service]' ${CGROUPS} >${DROP_IN}; systemctl daemon-reload`,
    );
    await this.sh("systemctl enable --quiet --now docker.service");
    await this.sh(`tar -C /usr/share/weave-test/image -c . | docker import - ${IMAGE} >/dev/null`);
  }

  /** What tells a host from others of its base. */
  #settle(root: string): void {
    writeFileSync(join(root, "etc/hostname"), `${this.name}\n`);
    writeFileSync(join(root, "etc/hosts"), `127.0.0.1 localhost ${this.name}\n`);
    writeFileSync(join(root, "etc/machine-id"), `${crypto.randomUUID().replaceAll("-", "")}\n`);
  }

  /** Powers off and boots again: nothing of it lasts but the disk. */
  async reboot(isOff?: () => void): Promise<void> {
    await this.#powerOff();
    isOff?.();
    await this.boot();
  }

  /** Runs a line of shell on the host. */
  async run(line: string): Promise<Finished> {
    const env = ["/usr/bin/env", "-i", `PATH=${PATH}`, "HOME=/root", "LC_ALL=C"];
    return await run(["nsenter", "-t", String(this.#pid), "-a", "--", ...env, "sh", "-c", line], { deadlineMs: 60_000 });
  }
  /** The same; it must succeed. Returns stdout. */
  async sh(line: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(line);
    if (code !== 0) throw new Error(`${this.name}: '${line}' ended with ${code}: ${stderr.trim() || stdout.trim()}`);
    return stdout;
  }

  /** Copies a file of ours onto its disk. */
  async put(file: string, path: string): Promise<void> {
    await Bun.write(join(this.root, path), Bun.file(file));
  }

  console(): string {
    const path = join(this.#directory, "console");
    return existsSync(path) ? readFileSync(path, "utf8").slice(-2_000) : "";
  }

  async remove(): Promise<void> {
    await this.#powerOff();
    await run(["umount", this.root]);
  }

  async #powerOff(): Promise<void> {
    const nspawn = this.#nspawn;
    if (nspawn === undefined) return;
    if (this.#pid !== 0) process.kill(this.#pid, 38); // SIGRTMIN+4: poweroff, systemd(1)
    const late = setTimeout(() => nspawn.kill("SIGKILL"), 20_000);
    await nspawn.exited;
    clearTimeout(late);
    this.#nspawn = undefined;
    this.#pid = 0;
    await run(["ip", "link", "del", this.#link]);
  }

  #firstProcess(): number | undefined {
    const parent = this.#nspawn?.pid ?? 0;
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim().split(" ");
    return children.map(Number).find((pid) => pid > 0 && readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "systemd");
  }

  async #plug(): Promise<void> {
    const far = `p-${this.#link}`.slice(0, 15);
    await must(["ip", "link", "add", this.#link, "type", "veth", "peer", "name", far]);
    await must(["ip", "link", "set", this.#link, "master", this.#bridge, "up"]);
    // One that udev does not replace by another of its own while a test looks.
    const mac = `02:57:00:00:00:${Number(this.address.split(".").at(-1)).toString(16).padStart(2, "0")}`;
    await must(["ip", "link", "set", far, "address", mac]);
    await must(["ip", "link", "set", far, "netns", String(this.#pid), "name", "eth0"]);
    const inside = `ip addr add ${this.address}/24 dev eth0; ip link set eth0 up; ip link set lo up`;
    await must(["nsenter", "-t", String(this.#pid), "-n", "sh", "-c", inside]);
  }

  async #isUp(): Promise<boolean> {
    const { stdout } = await this.run("systemctl is-system-running");
    return /^(running|degraded)$/.test(stdout.trim());
  }
}
