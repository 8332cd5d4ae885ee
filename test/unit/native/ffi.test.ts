// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checked, errno, errnoName, isSystemError, SystemError } from "../../../native/errno.ts";
import {
  addressOf,
  allocate,
  copyFrom,
  cString,
  loadLibrary,
  MissingLibraryError,
  OutParameter,
  readCString,
  stringAt,
} from "../../../native/ffi.ts";
import { libc } from "../../../native/libc/symbols.ts";
import { libsodium } from "../../../native/libsodium/symbols.ts";

describe("memory", () => {
  test("allocated bytes stay where they are when their buffer is looked at", () => {
    const bytes = allocate(16);
    const before = addressOf(bytes);
    new DataView(bytes.buffer).setUint32(0, 7);
    Bun.gc(true);
    expect(addressOf(bytes)).toBe(before);
  });

  test("text goes to C and back", () => {
    const bytes = cString("grüße");
    expect(stringAt(addressOf(bytes))).toBe("grüße");
    expect(readCString(bytes)).toBe("grüße");
    expect([...copyFrom(addressOf(bytes), 3)]).toEqual([...Buffer.from("grüße").subarray(0, 3)]);
  });

  test("text with a NUL is refused, because C would see a shorter one", () => {
    expect(() => cString("a\0b")).toThrow(TypeError);
  });

  test("text without a NUL ends with its buffer or at the limit given", () => {
    expect(readCString(Uint8Array.of(97, 98))).toBe("ab");
    expect(readCString(Uint8Array.of(97, 98, 99, 0), 1, 2)).toBe("b");
    expect(stringAt(addressOf(cString("abcdef")), 3)).toBe("abc");
  });

  test("an out-parameter reads what C wrote, NULL as null", () => {
    const out = new OutParameter();
    expect(out.address).toBeNull();
    out.u64 = 0xffff_ffff_ffff_ffffn;
    expect([out.u32, out.i32, out.address]).toEqual([0xffff_ffff, -1, 0xffff_ffff_ffff_ffffn]);
    out.u64 = 4096n;
    expect(out.address as number).toBe(4096);
  });
});

describe("libraries", () => {
  const LIBC = { deb: "libc6", rpm: "glibc" };
  const NONE = { deb: "libnone1", rpm: "libnone1" };
  const close = { close: { args: ["i32"], returns: "i32" } } as const;

  test("the first soname that exists is taken", () => {
    expect(loadLibrary({ sonames: ["libnone.so.1", "libc.so.6"], packages: LIBC, symbols: close }).soname).toBe("libc.so.6");
  });

  test("a missing library names what was tried and what to install", () => {
    const load = () => loadLibrary({ sonames: ["libnone.so.2", "libnone.so.1"], packages: NONE, symbols: close });
    expect(load).toThrow(new MissingLibraryError("cannot load libnone.so.2, libnone.so.1; install libnone1", ""));
  });

  test("a library that lacks a symbol says which", () => {
    const symbols = { no_such_function: { args: [], returns: "i32" } } as const;
    expect(() => loadLibrary({ sonames: ["libc.so.6"], packages: LIBC, symbols })).toThrow(/no_such_function/);
  });

  // Bun's own dlopen does that where the system has none of the name.
  test("a library in the current folder is not taken", () => {
    const folder = mkdtempSync(join(tmpdir(), "weave-ffi-"));
    libsodium();
    const library = /\/\S*\/libsodium\.so\S*/.exec(readFileSync("/proc/self/maps", "latin1"))?.[0] ?? "";
    copyFileSync(library, join(folder, "libnone.so.1"));
    const here = process.cwd();
    process.chdir(folder);
    try {
      const symbols = { sodium_init: { args: [], returns: "i32" } } as const;
      const load = () => loadLibrary({ sonames: ["libnone.so.1"], packages: NONE, symbols });
      expect(load).toThrow("cannot load libnone.so.1; install libnone1");
    } finally {
      process.chdir(here);
      rmSync(folder, { recursive: true });
    }
  });
});

describe("errno", () => {
  test("a failed call becomes its name, object and number", () => {
    const call = () => checked(libc().symbols.close(-1), "close", "fd -1");
    expect(call).toThrow(new SystemError("close", "fd -1", 9));
    expect(call).toThrow("close fd -1: EBADF (9)");
  });

  test("the number is right after every one of many failed calls", () => {
    let wrong = 0;
    for (let i = 0; i < 20_000; i++) {
      const result = i % 2 === 0 ? libc().symbols.close(-1) : libc().symbols.open("/nonexistent", 0, 0);
      if (result >= 0 || errno() !== (i % 2 === 0 ? 9 : 2)) wrong++;
    }
    expect(wrong).toBe(0);
  });

  test("an unknown number keeps its digits", () => {
    expect(errnoName(4095)).toBe("errno 4095");
  });

  test("errors are told apart by code", () => {
    const error = new SystemError("open", "/x", 2);
    expect([isSystemError(error), isSystemError(error, "EPERM", "ENOENT"), isSystemError(error, "EPERM")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(isSystemError(new Error("ENOENT"), "ENOENT")).toBe(false);
  });
});
