// SPDX-License-Identifier: Apache-2.0
// What systemd hears from us, on a real notification socket, and how we tell that we write to its journal.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { close } from "../../../native/libc/fd.ts";
import { AF, unixAddress } from "../../../native/libc/sockaddr.ts";
import { bind, recv, SOCK, socket } from "../../../native/libc/socket.ts";
import { isUnitInstalled, ServiceManager, writesToJournal } from "../../../src/host/systemd.ts";

let directory: string;
let path: string;
let fd: number;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weave-notify-"));
  path = join(directory, "notify");
  fd = socket(AF.UNIX, SOCK.DGRAM | SOCK.NONBLOCK, 0);
  bind(fd, unixAddress(path), path);
});
afterEach(() => {
  close(fd);
  rmSync(directory, { recursive: true, force: true });
});

function heard(): string | undefined {
  const buffer = new Uint8Array(new ArrayBuffer(4096));
  const length = recv(fd, buffer);
  return length === undefined ? undefined : Buffer.from(buffer.subarray(0, length)).toString();
}

describe("notifications", () => {
  test("ready, status, watchdog, stopping", () => {
    const manager = ServiceManager.fromEnvironment({ NOTIFY_SOCKET: path }, 1);
    expect(manager?.ready("peer x\nwith two lines")).toBe(true);
    expect(heard()).toBe("READY=1\nSTATUS=peer x; with two lines");
    manager?.status("3 connections");
    expect(heard()).toBe("STATUS=3 connections");
    manager?.alive();
    expect(heard()).toBe("WATCHDOG=1");
    manager?.extendTimeout(1500);
    expect(heard()).toBe("EXTEND_TIMEOUT_USEC=1500000");
    manager?.stopping();
    expect(heard()).toBe("STOPPING=1");
    expect(heard()).toBeUndefined();
  });
  test("a manager that is gone does not bring us down", () => {
    const manager = ServiceManager.fromEnvironment({ NOTIFY_SOCKET: join(directory, "nobody") }, 1);
    expect(manager?.alive()).toBe(false);
  });
  test("without a manager there is none", () => {
    expect(ServiceManager.fromEnvironment({}, 1)).toBeUndefined();
    expect(ServiceManager.fromEnvironment({ NOTIFY_SOCKET: "vsock:2:1" }, 1)).toBeUndefined();
  });
  test("the watchdog's period is ours only when it is meant for this process", () => {
    const watchdog = (pid: string | undefined) =>
      ServiceManager.fromEnvironment({ NOTIFY_SOCKET: path, WATCHDOG_USEC: "30000000", WATCHDOG_PID: pid }, 7)?.watchdogMs;
    expect([watchdog("7"), watchdog(undefined), watchdog("8")]).toEqual([30_000, 30_000, undefined]);
    expect(ServiceManager.fromEnvironment({ NOTIFY_SOCKET: path }, 7)?.watchdogMs).toBeUndefined();
  });
});

test("the journal is recognised by device and inode", () => {
  const file = openSync(join(directory, "out"), "w");
  const { dev, ino } = fstatSync(file, { bigint: true });
  expect(writesToJournal({ JOURNAL_STREAM: `${dev}:${ino}` }, file)).toBe(true);
  expect(writesToJournal({ JOURNAL_STREAM: `${dev}:${ino + 1n}` }, file)).toBe(false);
  expect(writesToJournal({ JOURNAL_STREAM: "nonsense" }, file)).toBe(false);
  expect(writesToJournal({}, file)).toBe(false);
  closeSync(file);
});

test("a unit nobody installed is not there", () => {
  expect(isUnitInstalled("weave-that-nobody-installs.service")).toBe(false);
});
