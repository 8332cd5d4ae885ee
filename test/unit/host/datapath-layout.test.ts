// SPDX-License-Identifier: Apache-2.0
// The switch's shared layout: maps.ts against maps.h, libbpf's structures against its headers, and the layout's number against the layout.
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBpfObjects } from "../../../native/bpf/build.ts";
import * as maps from "../../../native/bpf/maps.ts";
import { TIMESPEC } from "../../../native/libbpf/ktime.ts";
import { LINK_INFO } from "../../../native/libbpf/link.ts";
import { MAP_INFO } from "../../../native/libbpf/map.ts";
import { PROGRAM_INFO } from "../../../native/libbpf/object.ts";
import { TC_HOOK, TC_OPTS } from "../../../native/libbpf/tc.ts";

const BPF = join(import.meta.dir, "../../../native/bpf");

type Layout = Readonly<Record<string, number>>;
/** C type -> our table; the fields' C names where they are not ours in snake case. */
const OURS: readonly (readonly [type: string, layout: Layout, names?: Readonly<Record<string, string>>])[] = [
  ["struct settings", maps.SETTINGS],
  ["struct endpoint", maps.ENDPOINT],
  ["struct neighbour", maps.NEIGHBOUR],
  ["struct flood", maps.FLOOD],
  ["struct port", maps.PORT],
  ["struct port_address", maps.PORT_ADDRESS],
  ["struct port_subnet", maps.PORT_SUBNET],
  ["struct count", maps.COUNT],
  ["struct peer_counts", maps.PEER_COUNTS],
  ["struct probe_answer", maps.PROBE_ANSWER],
  ["struct probe_state", maps.PROBE_STATE],
  ["struct sleeve_header", maps.SLEEVE_HEADER],
];
const THEIRS: typeof OURS = [
  [
    "struct bpf_map_info",
    MAP_INFO,
    { keySize: "key_size", valueSize: "value_size", maxEntries: "max_entries", flags: "map_flags" },
  ],
  ["struct bpf_prog_info", PROGRAM_INFO],
  [
    "struct bpf_link_info",
    LINK_INFO,
    // The union's member `tcx` has the shape of `netns`, which older headers know too.
    { programId: "prog_id", ifindex: "netns.netns_ino", attachType: "netns.attach_type" },
  ],
  ["struct bpf_tc_hook", TC_HOOK, { bytes: "sz", point: "attach_point" }],
  ["struct bpf_tc_opts", TC_OPTS, { bytes: "sz", programFd: "prog_fd", programId: "prog_id" }],
  ["struct timespec", TIMESPEC, { seconds: "tv_sec", nanoseconds: "tv_nsec" }],
];
const CONSTANTS: Layout = {
  LAYOUT_VERSION: maps.LAYOUT_VERSION,
  PEERS: maps.PEERS,
  FANOUT: maps.FANOUT,
  FANOUT_SMALL: maps.FANOUT_SMALL,
  PROBE_SLOTS: maps.PROBE_SLOTS,
  MAC_ENTRIES: maps.MAC_ENTRIES,
  DROP_REASONS: maps.DROP_REASONS.length,
  EVENTS: maps.EVENTS.length,
  SLEEVE_ETHERTYPE: maps.SLEEVE_ETHERTYPE,
  SLEEVE_PRIORITY: maps.SLEEVE_PRIORITY,
  TRANSPORT_CLEAR: maps.TRANSPORT.CLEAR,
  TRANSPORT_WIREGUARD: maps.TRANSPORT.WIREGUARD,
  TRANSPORT_SLEEVE: maps.TRANSPORT.SLEEVE,
  NEIGHBOUR_WIREGUARD: maps.NEIGHBOUR_FLAG.WIREGUARD,
  SETTING_BYPASS: maps.SETTING_FLAG.BYPASS,
  SETTING_DECAP: maps.SETTING_FLAG.DECAP,
  PORT_GUARDED: maps.PORT_FLAG.GUARDED,
  PORT_PEER_DEVICE: maps.PORT_FLAG.PEER_DEVICE,
  PORT_BYPASS: maps.PORT_FLAG.BYPASS,
  PORT_MORE_IPV4: maps.PORT_FLAG.MORE_IPV4,
  PROBE_MAGIC: maps.PROBE_MAGIC,
  PROBE_ETHERTYPE: maps.PROBE_ETHERTYPE,
  PROBE_REQUEST: maps.PROBE_REQUEST,
  PROBE_REPLY: maps.PROBE_REPLY,
  PROBE_BYTES: maps.PROBE.size,
};

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
/** `struct count.packets` -> the C expression of its offset. */
function expressions(tables: typeof OURS): Map<string, string> {
  const found = new Map<string, string>();
  for (const [type, layout, names = {}] of tables) {
    for (const field of Object.keys(layout)) {
      const isWhole = field === "size";
      // bpf_map_info and the like grow; we read the beginning only.
      if (isWhole && /_info$/.test(type)) continue;
      found.set(`${type}.${field}`, isWhole ? `sizeof(${type})` : `offsetof(${type}, ${names[field] ?? snake(field)})`);
    }
  }
  return found;
}
function expected(tables: typeof OURS): Record<string, number> {
  const all = tables.flatMap(([type, layout]) =>
    Object.entries(layout).map(([field, value]) => [`${type}.${field}`, value] as const),
  );
  return Object.fromEntries(all.filter(([name]) => !/_info\.size$/.test(name)));
}
function compileAndRun(headers: readonly string[], lines: ReadonlyMap<string, string>): Record<string, number> {
  const folder = mkdtempSync(join(tmpdir(), "ws-layout-"));
  try {
    const prints = [...lines].map(
      ([name, expression]) => `printf("%s\\t%llu\\n", "${name}", (unsigned long long)(${expression}));`,
    );
    const includes = ["stddef.h", "stdio.h", ...headers].map((header) => `#include <${header}>`);
    writeFileSync(join(folder, "layout.c"), [...includes, "int main(void) {", ...prints, "return 0; }"].join("\n"));
    const compiler = Bun.spawnSync(["clang", `-I${BPF}`, "-o", join(folder, "layout"), join(folder, "layout.c")], {
      stderr: "pipe",
    });
    if (compiler.exitCode !== 0) throw new Error(compiler.stderr.toString());
    const output = Bun.spawnSync([join(folder, "layout")], { stdout: "pipe" }).stdout.toString();
    return Object.fromEntries(
      output
        .trim()
        .split("\n")
        .map((line) => [line.split("\t")[0], Number(line.split("\t")[1])]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("layouts", () => {
  test("maps.ts says what maps.h says", () => {
    const lines = expressions(OURS);
    for (const name of Object.keys(CONSTANTS)) lines.set(name, name);
    expect(compileAndRun(["maps.h"], lines)).toEqual({ ...expected(OURS), ...CONSTANTS });
  });

  test("the entry of the MAC table is one word of place and one of time", () => {
    const lines = new Map([
      ["size", "sizeof(struct mac_entry)"],
      ["stamp", "offsetof(struct mac_entry, stamp)"],
      ["location", "MAC_LOCATION(5, 7) | MAC_PEER_DEVICE"],
    ]);
    const { size, stamp, location } = compileAndRun(["maps.h"], lines);
    expect({ size, stamp }).toEqual({ size: maps.MAC_ENTRY.size, stamp: maps.MAC_ENTRY.stamp });
    const word = new DataView(new ArrayBuffer(8));
    word.setBigUint64(0, BigInt(location ?? 0), true);
    expect(word.getUint32(maps.MAC_ENTRY.ifindex, true)).toBe(7);
    expect(word.getUint16(maps.MAC_ENTRY.peer, true)).toBe(5);
    expect(word.getUint16(maps.MAC_ENTRY.flags, true)).toBe(1);
  });

  test("reasons and events have the same order on both sides", () => {
    const text = readFileSync(join(BPF, "maps.h"), "utf8");
    const names = (prefix: string) =>
      [...text.matchAll(new RegExp(`^\\t${prefix}_([A-Z0-9_]+),$`, "gm"))].map(([, name]) =>
        name?.toLowerCase().replaceAll("_", "-"),
      );
    expect(names("DROP").filter((name) => name !== "reasons")).toEqual([...maps.DROP_REASONS]);
    expect(names("EVENT")).toEqual([...maps.EVENTS]);
  });

  test("a changed layout has a new number", () => {
    const text = readFileSync(join(BPF, "maps.h"), "utf8") + readFileSync(join(BPF, "tables.h"), "utf8");
    const declarations = text
      .replace(/\/\/.*$/gm, "")
      .replace(/enum \w+ \{[^}]*\};/g, "") // may grow
      .replace(/\s+/g, " ");
    const digest = createHash("sha256").update(declarations).digest("hex").slice(0, 16);
    // When this fails: raise LAYOUT_VERSION in maps.h and maps.ts (unless what changed is no layout), and put the new pair here.
    expect({ version: maps.LAYOUT_VERSION, digest }).toEqual({ version: 3, digest: "bf50fc4a751a810b" });
  });

  test("libbpf's structures are those of its headers", () => {
    expect(compileAndRun(["time.h", "linux/bpf.h", "bpf/libbpf.h"], expressions(THEIRS))).toEqual(expected(THEIRS));
  });
});

test("building twice gives the same bytes, without a path of this machine in them", () => {
  const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), "ws-build-")));
  try {
    for (const folder of folders) buildBpfObjects(folder);
    for (const name of ["switch.o", "switch-small.o"]) {
      const [first, second] = folders.map((folder) => readFileSync(join(folder, name)));
      expect(first?.equals(second ?? Buffer.alloc(0))).toBe(true);
      expect(first?.includes(process.cwd())).toBe(false);
    }
  } finally {
    for (const folder of folders) rmSync(folder, { recursive: true });
  }
});
