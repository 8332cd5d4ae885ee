// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SystemError } from "../../../native/errno.ts";
import { allocate, bytesOf } from "../../../native/ffi.ts";
import { close, duplicate, fileSystemType, fstat, O, open, POLL, poll, read, tryLock, write } from "../../../native/libc/fd.ts";
import { notifyServiceManager } from "../../../native/libc/notify.ts";
import { missingCapabilities, umask } from "../../../native/libc/process.ts";
import { AF, inetAddress, unixAddress } from "../../../native/libc/sockaddr.ts";
import {
  bind,
  connect,
  getsockname,
  peerCredentials,
  recv,
  recvFrom,
  SOCK,
  sendTo,
  setReceiveTimeout,
  socket,
} from "../../../native/libc/socket.ts";

/** A directory and descriptors that go with the test. */
class Scratch implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "wn-libc-"));
  readonly #fds: number[] = [];
  fd(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }
  [Symbol.dispose](): void {
    for (const fd of this.#fds) close(fd);
    rmSync(this.directory, { recursive: true });
  }
}

describe("descriptors", () => {
  test("a file's identity is the one the file system gives it", () => {
    using scratch = new Scratch();
    const path = join(scratch.directory, "file");
    writeFileSync(path, "x");
    const { inode, mode } = fstat(scratch.fd(open(path)));
    expect({ inode, mode }).toEqual({ inode: statSync(path).ino, mode: statSync(path).mode });
  });

  test("/proc is known by its magic number", () => {
    using scratch = new Scratch();
    expect(fileSystemType(scratch.fd(open("/proc/self", O.PATH)))).toBe(0x9fa0);
  });

  test("a file that is not there says so", () => {
    expect(() => open("/nonexistent")).toThrow(new SystemError("open", "/nonexistent", 2));
  });

  test("a lock is held by one open file at a time, until it is closed", () => {
    using scratch = new Scratch();
    const path = join(scratch.directory, "lock");
    writeFileSync(path, "");
    const first = open(path);
    const second = scratch.fd(open(path));
    expect([tryLock(first), tryLock(second)]).toEqual([true, false]);
    close(first);
    expect(tryLock(second)).toBe(true);
  });

  test("a duplicate goes on after the first is closed", () => {
    using scratch = new Scratch();
    const path = join(scratch.directory, "file");
    writeFileSync(path, "abc");
    const first = open(path);
    const second = scratch.fd(duplicate(first));
    close(first);
    const into = allocate(8);
    expect([read(second, into), read(second, into)]).toEqual([3, 0]);
  });
});

describe("sockets", () => {
  const loopback = Uint8Array.of(127, 0, 0, 1);

  test("datagrams travel, and tell who sent them", () => {
    using scratch = new Scratch();
    const receiver = scratch.fd(socket(AF.INET, SOCK.DGRAM | SOCK.NONBLOCK, 0));
    bind(receiver, inetAddress(loopback, 0));
    const sender = scratch.fd(socket(AF.INET, SOCK.DGRAM, 0));
    bind(sender, inetAddress(loopback, 0));
    expect(poll(receiver, POLL.IN, 0)).toBe(0);
    expect(recv(receiver, allocate(8))).toBeUndefined();
    sendTo(sender, bytesOf(Uint8Array.of(1, 2, 3)), 3, 0, getsockname(receiver));
    expect(poll(receiver, POLL.IN, 1_000)).toBe(POLL.IN);
    const from = allocate(16);
    expect(recvFrom(receiver, allocate(8), 0, from)).toBe(3);
    expect([...from.subarray(0, 8)]).toEqual([...getsockname(sender).subarray(0, 8)]);
  });

  test("a blocking receive gives up after its timeout", () => {
    using scratch = new Scratch();
    const receiver = scratch.fd(socket(AF.INET, SOCK.DGRAM, 0));
    bind(receiver, inetAddress(loopback, 0));
    setReceiveTimeout(receiver, 20);
    expect(recv(receiver, allocate(8))).toBeUndefined();
  });

  test("a taken port is named in the error", () => {
    using scratch = new Scratch();
    const first = scratch.fd(socket(AF.INET, SOCK.DGRAM, 0));
    bind(first, inetAddress(loopback, 0));
    const second = scratch.fd(socket(AF.INET, SOCK.DGRAM, 0));
    expect(() => bind(second, getsockname(first), "127.0.0.1")).toThrow("bind 127.0.0.1: EADDRINUSE (98)");
  });

  test("the kernel names the process at the other end of a unix socket", () => {
    using scratch = new Scratch();
    const path = join(scratch.directory, "api.sock");
    using listener = Bun.listen({ unix: path, socket: { data() {} } });
    expect(listener.unix).toBe(path);
    const client = scratch.fd(socket(AF.UNIX, SOCK.STREAM, 0));
    connect(client, unixAddress(path), path);
    expect(peerCredentials(client)).toEqual({ pid: process.pid, uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 });
  });

  test("a socket path longer than the kernel takes is refused", () => {
    expect(() => unixAddress("x".repeat(108))).toThrow(RangeError);
    expect(unixAddress("x".repeat(107)).length).toBe(110);
  });
});

describe("the service manager", () => {
  function receiveAt(address: string): string {
    using scratch = new Scratch();
    const path = address.startsWith("@") ? address : join(scratch.directory, address);
    const manager = scratch.fd(socket(AF.UNIX, SOCK.DGRAM | SOCK.NONBLOCK, 0));
    bind(manager, unixAddress(path), path);
    expect(notifyServiceManager(path, ["READY=1", "STATUS=two peers"])).toBe(true);
    const into = allocate(100);
    return into.toString() && Buffer.from(into.subarray(0, recv(manager, into) ?? 0)).toString();
  }

  test("is told at a path", () => {
    expect(receiveAt("notify")).toBe("READY=1\nSTATUS=two peers");
  });
  test("is told at an abstract address", () => {
    expect(receiveAt(`@wn-notify-${process.pid}`)).toBe("READY=1\nSTATUS=two peers");
  });
  test("that does not listen is an error", () => {
    expect(() => notifyServiceManager("/nonexistent/notify", ["READY=1"])).toThrow("sendto");
  });
});

describe("the process", () => {
  test("capabilities are those of its status file", async () => {
    const status = await Bun.file("/proc/thread-self/status").text();
    const effective = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)$/m.exec(status)?.[1]}`);
    const bits = { NET_ADMIN: 12n, NET_RAW: 13n, SYS_ADMIN: 21n, BPF: 39n } as const;
    const names = ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "BPF"] as const;
    expect(missingCapabilities(names)).toEqual(names.filter((name) => ((effective >> bits[name]) & 1n) === 0n));
  });

  test("a capability dropped is missed", () => {
    const code = `import { missingCapabilities } from ${JSON.stringify(join(import.meta.dir, "../../../native/libc/process.ts"))};
      console.log(missingCapabilities(["NET_ADMIN", "BPF"]).join());`;
    const child = Bun.spawnSync(["setpriv", "--bounding-set=-bpf", "--inh-caps=-bpf", process.execPath, "-e", code]);
    expect(child.stdout.toString().trim().split(",")).toContain("BPF");
  });

  test("the file mask is set and given back", () => {
    const before = umask(0o077);
    expect(umask(before)).toBe(0o077);
  });

  test("writing to a full pipe says that it would block", () => {
    using scratch = new Scratch();
    const path = join(scratch.directory, "pipe");
    expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
    const fd = scratch.fd(open(path, O.RDWR | O.NONBLOCK));
    const chunk = allocate(65_536);
    expect([write(fd, chunk), write(fd, chunk)]).toEqual([65_536, undefined]);
  });
});
