// SPDX-License-Identifier: Apache-2.0
// The machine: kernel, libraries, disk, clock.
import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { isBpfFileSystem } from "../host/datapath-pins.ts";
import { clockIsSynchronised, libraryStates } from "../host/inspection.ts";
import { whyNoWireguard } from "../host/wireguard-link.ts";
import { fileErrorText } from "../runtime/errors.ts";
import type { Check } from "./examine.ts";
import { bad, type Finding, ok, unknown } from "./finding.ts";

const BPF_MOUNT = "/sys/fs/bpf";
const OLDEST = { works: [5, 4], whole: [5, 10] } as const;

export const kernel: Check = {
  id: "kernel",
  look({ daemon, links, config }) {
    const version = release();
    const findings: Finding[] = [];
    if (isOlder(version, OLDEST.works)) {
      findings.push(bad("kernel", "error", `Linux ${version} cannot run the switch`, "use 5.4 or newer, better 5.10"));
    } else if (isOlder(version, OLDEST.whole)) {
      findings.push(bad("kernel", "warning", `Linux ${version} lacks accelerations of the switch`, "use 5.10 or newer"));
    } else {
      const object = daemon.state === "running" ? `, ${daemon.status.router.interface}` : "";
      findings.push(ok("kernel", `Linux ${version}${object}`));
    }
    if (isBpfFileSystem(BPF_MOUNT)) findings.push(ok("bpffs", `the BPF file system is mounted on ${BPF_MOUNT}`));
    else findings.push(bad("bpffs", "error", `there is no BPF file system on ${BPF_MOUNT}`, `mount -t bpf bpf ${BPF_MOUNT}`));
    findings.push(vxlan(links.get(`vxlan-${config.port + 1}`) !== undefined, version));
    return findings;
  },
};

/** @param release such as `6.1.0-56-cloud-amd64` */
export function isOlder(release: string, [major, minor]: readonly [number, number]): boolean {
  const [theirMajor = 0, theirMinor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  return theirMajor < major || (theirMajor === major && theirMinor < minor);
}

function vxlan(exists: boolean, version: string): Finding {
  if (exists || existsSync("/sys/module/vxlan")) return ok("vxlan", "the kernel has VXLAN");
  const known = [`/lib/modules/${version}/kernel/drivers/net/vxlan`, `/lib/modules/${version}/kernel/drivers/net/vxlan.ko`];
  if (known.some((path) => existsSync(path))) return ok("vxlan", "the kernel has a module for VXLAN");
  return unknown("vxlan", "no VXLAN device and no module for it is to be seen; the kernel may have it built in");
}

export const wireguard: Check = {
  id: "wireguard",
  look({ config }) {
    const why = whyNoWireguard();
    if (why === undefined) return [ok("wireguard", "the kernel has WireGuard")];
    if (config.passwords.length === 0) return [ok("wireguard", `not needed without a password (${why})`)];
    const fix = "modprobe wireguard, or a kernel with it; until then data is encrypted in user space";
    return [bad("wireguard", "warning", why, fix)];
  },
};

export const libraries: Check = {
  id: "libraries",
  look: () =>
    libraryStates().map((library) => {
      const { name, found, missing } = library;
      if (found !== undefined) return ok("libraries", `${name}: ${found}`);
      return bad("libraries", library.isOptional ? "warning" : "error", `${name}: ${missing}`, `install ${library.packages}`);
    }),
};

const LEAST_BYTES = { error: 1 << 20, warning: 32 << 20 } as const;

export const disk: Check = {
  id: "disk",
  look({ config: { dataDir } }) {
    const path = existing(dataDir);
    const { bavail, bsize, files, ffree } = statfsSync(path);
    const freeBytes = bavail * bsize;
    const text = `${(freeBytes / 2 ** 20).toFixed(0)} MiB are free for ${dataDir}`;
    const fix = "make room on that file system: identity, addresses and names are kept there";
    try {
      accessSync(path, constants.W_OK);
    } catch (thrown) {
      if (fileErrorText(thrown).includes("permission"))
        return [unknown("disk", `${text}; whether root may write there is not known`)];
      return [bad("disk", "error", `${path} cannot be written: ${fileErrorText(thrown)}`, "mount it read-write")];
    }
    if (files > 0 && ffree === 0) return [bad("disk", "error", `no file can be made below ${dataDir}: no inode is free`, fix)];
    if (freeBytes < LEAST_BYTES.error) return [bad("disk", "error", `only ${text}`, fix)];
    if (freeBytes < LEAST_BYTES.warning) return [bad("disk", "warning", `only ${text}`, fix)];
    return [ok("disk", text)];
  },
};

function existing(path: string): string {
  return path === "/" || existsSync(path) ? path : existing(dirname(path));
}

/** The host's time of a file may be a moment ahead on network file systems. */
const AHEAD_MS = 60_000;
const WRITTEN = ["weave.db", "weave.db-wal", "launch.json"];

export const time: Check = {
  id: "clock",
  look({ config: { dataDir }, clock }) {
    const written = WRITTEN.map((name) => join(dataDir, name)).filter((path) => existsSync(path));
    const ahead = written.find((path) => statSync(path).mtimeMs > clock.wallMs() + AHEAD_MS);
    if (ahead !== undefined) {
      const text = `the clock is behind what was written before: ${ahead} is of ${statSync(ahead).mtime.toISOString()}`;
      return [bad("clock", "warning", text, "set the clock, and keep it by NTP: timedatectl set-ntp true")];
    }
    const synchronised = clockIsSynchronised();
    if (synchronised === undefined) return [unknown("clock", "this process may not ask whether it is synchronised")];
    if (synchronised) return [ok("clock", "it is synchronised")];
    return [
      unknown(
        "clock",
        "nobody tells the kernel the time, so whether it is right is not known",
        "timedatectl set-ntp true, or another NTP client",
      ),
    ];
  },
};
