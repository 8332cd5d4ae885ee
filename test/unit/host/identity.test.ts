// SPDX-License-Identifier: Apache-2.0
// The identity key on disk.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publicKeyOf } from "../../../native/libsodium/x25519.ts";
import { fingerprintOf, IDENTITY_FILE, loadIdentity, peerNameOf } from "../../../src/host/identity.ts";
import { formatPeerName } from "../../../src/mesh/peer-name.ts";
import { UserError } from "../../../src/runtime/errors.ts";

const WALL_MS = Date.UTC(2026, 10, 21, 9, 30, 5);
let dir = "";
let path = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "weave-identity-"));
  path = join(dir, IDENTITY_FILE);
});
afterEach(() => rmSync(dir, { recursive: true }));

describe("identity", () => {
  test("is made once, readable by nobody else, and found again", () => {
    const made = loadIdentity(join(dir, "deep/er"), WALL_MS);
    const file = join(dir, "deep/er", IDENTITY_FILE);
    expect(made).toMatchObject({ isNew: true, warnings: [] });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const found = loadIdentity(join(dir, "deep/er"), WALL_MS);
    expect(found).toEqual({ ...made, isNew: false });
    expect(publicKeyOf(found.keys.secretKey)).toEqual(found.keys.publicKey as never);
    expect(readdirSync(join(dir, "deep/er"))).toEqual([IDENTITY_FILE]);
  });

  test("name and fingerprint come from the public key alone", () => {
    const key = Uint8Array.fromHex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"); // RFC 7748 section 6.1, Alice
    expect(formatPeerName(peerNameOf(key))).toMatch(/^[0-9a-f][26ae]:/);
    expect(peerNameOf(key)).toBe(peerNameOf(key.slice()));
    expect(fingerprintOf(key)).toMatch(/^[0-9a-f]{4}(-[0-9a-f]{4}){7}$/);
    expect(fingerprintOf(key.slice().reverse())).not.toBe(fingerprintOf(key));
  });

  for (const [what, damage] of [
    ["cut off", (text: string) => text.slice(0, 40)],
    ["empty", () => ""],
    ["with one digit changed", (text: string) => text.replace(/\n(.)/, (_, digit) => `\n${digit === "a" ? "b" : "a"}`)],
    ["with something behind", (text: string) => `${text}more\n`],
    ["huge", () => "x".repeat(100_000)],
  ] as const) {
    test(`a damaged file, ${what}, is kept aside and replaced`, () => {
      const before = loadIdentity(dir, WALL_MS);
      const damaged = damage(readFileSync(path, "utf8"));
      writeFileSync(path, damaged);
      const after = loadIdentity(dir, WALL_MS);
      expect(after.isNew).toBe(true);
      expect(after.name).not.toBe(before.name);
      expect(after.warnings.join()).toContain(`${path}.damaged-20261121T093005Z`);
      expect(readFileSync(`${path}.damaged-20261121T093005Z`, "utf8")).toBe(damaged);
      writeFileSync(path, "again");
      loadIdentity(dir, WALL_MS);
      expect(readdirSync(dir).sort()).toEqual([
        IDENTITY_FILE,
        `${IDENTITY_FILE}.damaged-20261121T093005Z`,
        `${IDENTITY_FILE}.damaged-20261121T093005Z-2`,
      ]);
    });
  }

  test("one of a newer version is refused and left alone, so the host stays the peer it is", () => {
    const text = `weave identity 2\n${"ab".repeat(40)}\n`;
    writeFileSync(path, text, { mode: 0o600 });
    expect(() => loadIdentity(dir, WALL_MS)).toThrow("was written by a newer weave (version 2, this one knows 1)");
    expect([readdirSync(dir), readFileSync(path, "utf8")]).toEqual([[IDENTITY_FILE], text]);
  });

  test("a file open to others is closed, with a warning", () => {
    const made = loadIdentity(dir, WALL_MS);
    chmodSync(path, 0o644);
    const found = loadIdentity(dir, WALL_MS);
    expect(found.name).toBe(made.name);
    expect(found.warnings.join()).toContain("mode 0644");
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("what is not ours or not a file is refused", () => {
    loadIdentity(dir, WALL_MS);
    chownSync(path, 12_345, 0);
    expect(() => loadIdentity(dir, WALL_MS)).toThrow(/belongs to user 12345/);
    rmSync(path);
    symlinkSync("/etc/hostname", path);
    expect(() => loadIdentity(dir, WALL_MS)).toThrow(/not a regular file/);
    rmSync(path);
    mkdirSync(path);
    expect(() => loadIdentity(dir, WALL_MS)).toThrow(UserError);
  });

  test("a directory that cannot be had is one clear message", () => {
    writeFileSync(join(dir, "file"), "");
    expect(() => loadIdentity(join(dir, "file/below"), WALL_MS)).toThrow(
      /cannot use the identity key .*file\/below\/identity.key/,
    );
    expect(() => loadIdentity("/proc/weave", WALL_MS)).toThrow(UserError);
  });

  test("a full disk leaves nothing behind", () => {
    const full = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=2", "weave-full", dir]);
    expect(full.exitCode).toBe(0);
    try {
      writeFileSync(join(dir, "filler"), "x");
      expect(() => loadIdentity(dir, WALL_MS)).toThrow(/cannot use the identity key/);
      expect(readdirSync(dir)).toEqual(["filler"]);
    } finally {
      Bun.spawnSync(["umount", dir]);
    }
  });
});
