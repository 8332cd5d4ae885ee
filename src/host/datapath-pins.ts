// SPDX-License-Identifier: Apache-2.0
// Where the switch lives between two daemons: maps below `PINS/v<layout>/`, TCX links in `PINS/links/`. A switch with another layout gets new
// maps; what has kept its shape is copied over, the programs are exchanged, then the old maps go.
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { LAYOUT_VERSION, MAP_NAMES, type MapName } from "../../native/bpf/maps.ts";
import type { ObjectKind } from "../../native/bpf/objects.ts";
import { isSystemError } from "../../native/errno.ts";
import { BpfMap } from "../../native/libbpf/map.ts";
import { BpfObject } from "../../native/libbpf/object.ts";
import { libbpf } from "../../native/libbpf/symbols.ts";
import { close, fileSystemType, O, open } from "../../native/libc/fd.ts";
import { errorText, fileErrorText, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

const BPF_FS_MAGIC = 0xcafe4a11; // linux/magic.h

export interface LoadOptions {
  readonly pinDir: string;
  readonly kinds: readonly ObjectKind[];
  readonly layout?: number;
  readBytes(kind: ObjectKind): Uint8Array;
  readonly log: Log;
}
export interface LoadedSwitch {
  readonly object: BpfObject;
  readonly kind: ObjectKind;
  /** Folders of maps that are no longer wanted once the programs are exchanged. */
  readonly superseded: readonly string[];
  /** Its maps were made just now, or left half filled. */
  readonly isFresh: boolean;
}

export function linksFolder(pinDir: string): string {
  return join(pinDir, "links");
}

/** Makes `pinDir` and checks that a switch can be kept there. @throws {UserError} there is no BPF file system, or it cannot be written
 *  @throws {MissingLibraryError} libbpf is not installed */
export function preparePins(pinDir: string): void {
  libbpf();
  const parent = existsSync(pinDir) ? pinDir : dirname(pinDir);
  if (!isBpfFileSystem(parent)) {
    throw new UserError(
      "unavailable",
      `cannot keep the switch in '${pinDir}': there is no BPF file system`,
      "mount it with 'mount -t bpf bpf /sys/fs/bpf' (systemd does it at boot)",
    );
  }
  try {
    mkdirSync(linksFolder(pinDir), { recursive: true, mode: 0o700 });
  } catch (thrown) {
    const hint = "see how it is mounted with 'findmnt -t bpf'";
    throw new UserError("unavailable", `cannot keep the switch in '${pinDir}': ${fileErrorText(thrown)}`, hint, {
      cause: thrown,
    });
  }
}

/** Maps and programs can be pinned at `path`. */
export function isBpfFileSystem(path: string): boolean {
  if (!existsSync(path)) return false;
  const fd = open(path, O.PATH);
  try {
    return fileSystemType(fd) === BPF_FS_MAGIC;
  } finally {
    close(fd);
  }
}

/** Loads the first object the kernel takes. @throws {UserError} it takes none */
export function loadSwitch(options: LoadOptions): LoadedSwitch {
  const refusals: string[] = [];
  for (const kind of options.kinds) {
    try {
      return loadKind(options, kind);
    } catch (thrown) {
      if (!isSystemError(thrown)) throw thrown;
      if (thrown.code === "EPERM") throw notPermitted(thrown);
      refusals.push(`${kind}: ${thrown.message}`);
      options.log.warn("kernel refused a switch program", { object: kind, reason: thrown.message });
    }
  }
  throw new UserError(
    "unavailable",
    `this kernel cannot run the switch (${refusals.join(" | ")})`,
    "it needs BPF with tc (CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF, CONFIG_NET_SCH_INGRESS or TCX), Linux 5.4 or later",
  );
}

function notPermitted(cause: Error): UserError {
  return new UserError("forbidden", `the kernel does not let this process load the switch: ${cause.message}`, "run as root", {
    cause,
  });
}

// Our layout's folder is tried first; another one beside it, when what is in it turns out to have another shape after all.
function loadKind(options: LoadOptions, kind: ObjectKind): LoadedSwitch {
  const layout = options.layout ?? LAYOUT_VERSION;
  const present = layoutFolders(options.pinDir);
  const names = [`v${layout}`, `v${layout}b`];
  const candidates = [...names.filter((name) => present.includes(name)), ...names.filter((name) => !present.includes(name))];
  const bytes = options.readBytes(kind);
  for (const name of candidates) {
    const folder = join(options.pinDir, name);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    try {
      const object = BpfObject.load(`switch (${kind})`, bytes, (map) => join(folder, map));
      const superseded = present.filter((other) => other !== name).map((other) => join(options.pinDir, other));
      // `self` is copied last, so 0 beside an older layout means that an earlier copy was cut short.
      return { object, kind, superseded, isFresh: !present.includes(name) };
    } catch (thrown) {
      if (!present.includes(name)) rmSync(folder, { recursive: true, force: true });
      if (!present.includes(name) || !isSystemError(thrown, "EINVAL")) throw thrown;
      options.log.info("maps of another shape are pinned, making new ones", { path: folder, reason: errorText(thrown) });
    }
  }
  throw new UserError("internal", `cannot use the maps pinned below '${options.pinDir}'`, "'weave reset' removes them");
}

export function layoutFolders(pinDir: string): string[] {
  return readdirSync(pinDir).filter((name) => /^v\d+b?$/.test(name));
}

/** Copies maps from an older layout whose values have kept their shape or grown; routes last but for the settings, which say who we are. Returns what was
 *  copied. */
export function copyMaps(folder: string, object: BpfObject, log: Log): MapName[] {
  const order = [...MAP_NAMES.filter((name) => name !== "settings"), "settings" as const];
  return order.filter((name) => {
    try {
      using old = BpfMap.openPinned(name, join(folder, name));
      return copyMap(old, object.map(name));
    } catch (thrown) {
      if (!isSystemError(thrown)) throw thrown;
      log.warn("cannot take over a map of the earlier switch", { map: name, reason: thrown.message });
      return false;
    }
  });
}

function copyMap(from: BpfMap, to: BpfMap): boolean {
  const [before, now] = [from.shape, to.shape];
  const isSame = before.type === now.type && before.keySize === now.keySize && before.valueSize <= now.valueSize;
  if (!isSame) return false;
  for (const [key, value] of from.entries()) to.set(key, grown(value, before.valueSize, now.valueSize));
  return true;
}

// Structures grow at their end, and what is new there means nothing while it is zero.
function grown(value: Uint8Array, before: number, now: number): Uint8Array {
  if (before === now) return value;
  const cpus = value.length / before; // one, but for per-CPU maps
  const whole = new Uint8Array(now * cpus);
  for (let i = 0; i < cpus; i++) whole.set(value.subarray(i * before, (i + 1) * before), i * now);
  return whole;
}

/** Removes a folder of pins; what nobody else holds is gone. */
export function removePins(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}
