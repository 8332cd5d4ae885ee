// SPDX-License-Identifier: Apache-2.0
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Attachment } from "../../../src/attach/attachment.ts";
import type { Exposure } from "../../../src/expose/exposure.ts";
import { parseCidr } from "../../../src/net/cidr.ts";
import { parseIp } from "../../../src/net/ip.ts";
import { macFromNumber } from "../../../src/net/mac.ts";
import type { Clock } from "../../../src/runtime/clock.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { SCHEMA_VERSION } from "../../../src/store/schema.ts";
import { openStore, type Store } from "../../../src/store/store.ts";
import { run } from "../../support/command.ts";

const clock: Clock = { now: () => 0, wallMs: () => Date.UTC(2024, 0, 2, 3, 4, 5), after: () => ({ [Symbol.dispose]() {} }) };
const cidr = (text: string) => parseCidr(text)!;

let folder: string;
const opened: Store[] = [];
function open(): Store {
  const store = openStore(folder, clock);
  opened.push(store);
  return store;
}
function close(): void {
  for (const store of opened.splice(0)) store[Symbol.dispose]();
}
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weave-store-"));
});
afterEach(() => {
  close();
  rmSync(folder, { recursive: true, force: true });
});

function refusal(action: () => unknown): UserError {
  try {
    action();
  } catch (thrown) {
    if (thrown instanceof UserError) return thrown;
    throw thrown;
  }
  throw new Error("expected a refusal");
}

const VETH: Attachment = {
  hostLink: "vethwepl1",
  kind: "veth",
  owner: "c0ffee",
  name: "web 'quoted' ünicode",
  netnsPath: "/proc/1/ns/net",
  netnsId: "4026532567.18446744073709551615",
  hostMac: macFromNumber(2 ** 48 - 1),
  mac: macFromNumber(1),
  addresses: [cidr("10.32.1.5/24"), cidr("fd00::5/64")],
  adding: [cidr("10.32.2.5/24")],
  removing: [cidr("10.32.3.5/24")],
  multicastRoute: true,
  guarded: false,
  bootId: "boot",
};
const TAP: Attachment = {
  ...VETH,
  hostLink: "tap0",
  kind: "tap",
  adding: [],
  removing: [],
  guarded: true,
  multicastRoute: false,
};

describe("what is stored comes back after a restart", () => {
  test("attachments, oldest first, replaced in place, dropped by name", () => {
    const { attachments } = open();
    attachments.put(VETH);
    attachments.put(TAP);
    attachments.put({ ...VETH, name: "renamed" });
    close();
    expect(open().attachments.attachments()).toEqual([{ ...VETH, name: "renamed" }, TAP]);
    open().attachments.drop("vethwepl1");
    open().attachments.drop("never was");
    expect(open().attachments.attachments()).toEqual([TAP]);
  });

  test("exposures with the choice of masquerading", () => {
    const one: Exposure = { cidr: cidr("10.32.1.1/24"), masquerade: false, state: "exposing" };
    const two: Exposure = { cidr: cidr("fd00::1/64"), masquerade: true, state: "exposed" };
    const { exposures } = open();
    exposures.put(one);
    exposures.put(two);
    exposures.put({ ...one, state: "hiding" });
    close();
    expect(open().exposures.exposures()).toEqual([{ ...one, state: "hiding" }, two]);
    open().exposures.drop(parseIp("10.32.1.1")!);
    expect(open().exposures.exposures()).toEqual([two]);
  });

  test("settings, targets in order and once each, the mesh's state", () => {
    const store = open();
    expect([store.settings.get("a"), store.targets.list(), store.meshState.load()]).toEqual([undefined, [], undefined]);
    store.settings.set("a", "1");
    store.settings.set("a", "2");
    store.settings.set("b", "");
    store.targets.replace(["host3", "host1:6783", "host3", "[fd00::1]:6783"]);
    store.meshState.save({ bytes: Uint8Array.of(0, 255, 7), wallMs: 1.5, bootId: "b" });
    close();
    const again = open();
    expect([again.settings.get("a"), again.settings.get("b")]).toEqual(["2", ""]);
    expect(again.targets.list()).toEqual(["host3", "host1:6783", "[fd00::1]:6783"]);
    expect(again.meshState.load()).toEqual({ bytes: Uint8Array.of(0, 255, 7), wallMs: 1.5, bootId: "b" });
    again.settings.remove("a");
    again.meshState.clear();
    expect([again.settings.get("a"), again.meshState.load()]).toEqual([undefined, undefined]);
  });

  test("a batch is all or nothing", () => {
    const store = open();
    const failing = (): void =>
      store.batch(() => {
        store.settings.set("a", "1");
        store.attachments.put(TAP);
        throw new Error("no");
      });
    expect(failing).toThrow("no");
    expect([store.settings.get("a"), store.attachments.attachments()]).toEqual([undefined, []]);
    store.batch(() => {
      store.settings.set("a", "1");
      store.attachments.put(TAP);
    });
    close();
    expect([open().settings.get("a"), open().attachments.attachments()]).toEqual(["1", [TAP]]);
  });

  test("every commit is on disk before the call returns", () => {
    const database = new Database(join(folder, "weave.db"));
    open();
    const pragma = (name: string): unknown => Object.values(database.query(`PRAGMA ${name}`).get() as object)[0];
    expect(pragma("journal_mode")).toBe("wal");
    database.close();
    expect(statSync(join(folder, "weave.db")).mode & 0o777).toBe(0o600);
  });
});

describe("a file that is not right", () => {
  test("garbage is kept aside whole, with a warning, and an empty one begun", () => {
    mkdirSync(folder, { recursive: true });
    const garbage = "this is no database. ".repeat(500);
    writeFileSync(join(folder, "weave.db"), garbage);
    const store = open();
    expect(store.warnings).toEqual([expect.stringContaining("is damaged")]);
    const kept = "weave.db.damaged-2024-01-02T03-04-05-000Z";
    expect(store.warnings[0]).toContain(kept);
    expect(readFileSync(join(folder, kept), "utf8")).toBe(garbage);
    store.settings.set("a", "1");
    close();
    expect([open().settings.get("a"), open().warnings]).toEqual(["1", []]);
  });

  test("a torn page inside is found, and a second damage does not overwrite the first", () => {
    for (let round = 0; round < 2; round++) {
      const store = open();
      for (let i = 0; i < 400; i++) store.settings.set(`key ${i}`, "x".repeat(100));
      close();
      const path = join(folder, "weave.db");
      const bytes = readFileSync(path);
      bytes.fill(0xa5, 8192, 12288);
      writeFileSync(path, bytes);
      expect(open().warnings.length).toBe(1);
      close();
    }
    expect(readdirSync(folder).filter((name) => name.includes("damaged")).length).toBe(2);
  });

  test("a row that cannot be ours is damage, not a guess", () => {
    open().attachments.put(TAP);
    close();
    const database = new Database(join(folder, "weave.db"));
    database.run("UPDATE attachments SET addresses = '10.32.1.5'");
    database.close();
    expect(open().warnings).toEqual([expect.stringContaining("holds '10.32.1.5' where an address should be")]);
    expect(open().attachments.attachments()).toEqual([]);
    expect(readdirSync(folder).filter((name) => name.includes("damaged")).length).toBe(1);
  });

  test("a newer schema is refused and left alone", () => {
    open().settings.set("a", "1");
    close();
    const database = new Database(join(folder, "weave.db"));
    database.run("PRAGMA journal_mode = DELETE"); // that it is one file, and ours would change it
    database.run("UPDATE settings SET value = 'in words of the newer one'");
    database.run("DROP TABLE attachments");
    database.run("PRAGMA user_version = 999");
    database.close();
    const before = readFileSync(join(folder, "weave.db"));
    const error = refusal(open);
    expect(error.message).toBe(
      `database ${folder}/weave.db was written by a newer weave (schema 999, this one knows ${SCHEMA_VERSION})`,
    );
    expect(error.hint).toContain("install that version again");
    expect(readdirSync(folder)).toEqual(["weave.db"]);
    expect(readFileSync(join(folder, "weave.db"))).toEqual(before);
  });

  test("what the oldest schema held is there in today's, and what came later is empty", () => {
    const database = new Database(join(folder, "weave.db"));
    database.run(readFileSync(new URL("../../fixtures/store/schema-1.sql", import.meta.url), "utf8"));
    database.close();
    const store = open();
    expect(store.warnings).toEqual([]);
    expect([store.settings.get("launch-id"), store.targets.list()]).toEqual(["0123456789ab", ["host3", "192.0.2.7:6783"]]);
    expect(store.meshState.load()).toEqual({ bytes: Uint8Array.of(0, 255, 7), wallMs: 1.5, bootId: "boot" });
    expect(store.attachments.attachments()).toMatchObject([
      { hostLink: "vethwepl1", name: "web 'quoted'", addresses: [cidr("10.32.1.5/24"), cidr("fd00::5/64")], guarded: false },
    ]);
    expect(store.exposures.exposures()).toEqual([{ cidr: cidr("10.32.1.1/24"), masquerade: false, state: "exposed" }]);
    expect([store.names.names(), store.leases.load().leases, store.plugin.endpoints()]).toEqual([[], [], []]);
    store.names.change([{ name: "web.weave.local.", container: "c0ffee", address: parseIp("10.32.1.5")! }], []);
    close();
    expect(open().names.names()).toHaveLength(1);
  });

  test("a data directory that cannot be one", () => {
    writeFileSync(join(folder, "file"), "");
    const error = refusal(() => openStore(join(folder, "file", "data"), clock));
    expect(error.message).toStartWith(`cannot make the data directory ${folder}/file/data`);
  });

  test("a database that another process is writing", () => {
    open().settings.set("a", "1");
    const other = new Database(join(folder, "weave.db"));
    other.run("BEGIN IMMEDIATE");
    const error = refusal(() => opened[0]!.settings.set("a", "2"));
    other.close();
    expect([error.code, error.message]).toEqual(["unavailable", expect.stringContaining("another process holds it")]);
  });
});

const canMount = process.getuid?.() === 0 && (await run(["unshare", "-m", "true"])).code === 0;
describe.skipIf(!canMount)("a disk that is full or read-only", () => {
  beforeEach(async () => {
    await run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", folder]);
  });
  afterEach(async () => {
    close();
    await run(["umount", "-l", folder]);
  });

  function fill(): void {
    for (let size = 65_536, i = 0; size >= 1; size = Math.floor(size / 4)) {
      try {
        for (;;) writeFileSync(join(folder, `fill${i++}`), new Uint8Array(size));
      } catch (thrown) {
        if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ENOSPC")) throw thrown;
      }
    }
  }

  test("full while running: a clear error, what was there stays, and it works again with space", () => {
    const store = open();
    store.settings.set("a", "1");
    fill();
    const error = refusal(() => store.settings.set("big", "x".repeat(200_000)));
    expect([error.code, error.message]).toEqual(["unavailable", `cannot write database ${folder}/weave.db: the disk is full`]);
    expect(store.settings.get("a")).toBe("1");
    for (const name of readdirSync(folder)) if (name.startsWith("fill")) rmSync(join(folder, name));
    store.settings.set("big", "small");
    expect(store.settings.get("big")).toBe("small");
  });

  test("full at start: a clear error, and nothing is taken for damaged", () => {
    open().settings.set("a", "1");
    close();
    fill();
    const error = refusal(() => {
      const store = open();
      for (let i = 0; i < 50; i++) store.settings.set(`b${i}`, "x".repeat(10_000));
    });
    expect(error.message).toContain("the disk is full");
    expect(readdirSync(folder).filter((name) => name.includes("damaged"))).toEqual([]);
  });

  test("read-only: a clear error", async () => {
    open().settings.set("a", "1");
    close();
    await run(["mount", "-o", "remount,ro", folder]);
    const error = refusal(() => open().settings.set("a", "2"));
    expect(error.message).toMatch(/: it (is read-only|cannot be opened)$/);
  });
});

test("a data directory nobody else may read is made", () => {
  const store = openStore(join(folder, "deep", "er"), clock);
  opened.push(store);
  expect(statSync(join(folder, "deep", "er")).mode & 0o777).toBe(0o700);
  chmodSync(folder, 0o700);
});
