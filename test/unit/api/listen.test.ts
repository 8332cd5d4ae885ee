// SPDX-License-Identifier: Apache-2.0
// Binding the API: permissions, left-over sockets, another daemon, TCP and what web pages may do there.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiClient } from "../../../src/api/client.ts";
import { createHandlers } from "../../../src/api/handlers.ts";
import { formatListen, type Listen, type Listener, startListener } from "../../../src/api/listen.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { FakeBackend } from "./fake-backend.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weave-listen-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function start(listen: Listen, options: { readonly readOnly?: boolean; readonly flag?: string } = {}): Promise<Listener> {
  const requests = new Counters().family("weave_api_requests_total", "", "outcome");
  const handlers = createHandlers(new FakeBackend());
  return startListener({ handlers, readOnly: false, log: silentLog, requests, ...options }, listen);
}
function socketAt(name: string): Listen & { kind: "unix" } {
  return { kind: "unix", path: join(directory, name) };
}

/** A socket file as a daemon leaves it that was killed. */
async function leaveSocket(path: string): Promise<void> {
  const script = `Bun.serve({ unix: ${JSON.stringify(path)}, fetch: () => new Response() }); process.kill(process.pid, "SIGKILL")`;
  await Bun.spawn([process.execPath, "-e", script], { stdout: "ignore", stderr: "ignore" }).exited;
  expect(existsSync(path)).toBe(true);
}

describe("unix socket", () => {
  test("is made with its directory, for owner and group only, and goes with the listener", async () => {
    const listen = socketAt("run/api.sock");
    const listener = await start(listen);
    expect(statSync(listen.path).mode & 0o777).toBe(0o660);
    expect((await new ApiClient(listen).call("health", {})).ready).toBe(true);
    await listener[Symbol.asyncDispose]();
    expect(existsSync(listen.path)).toBe(false);
  });
  test("the process's umask is as before", async () => {
    const before = process.umask();
    await using _ = await start(socketAt("api.sock"));
    expect(process.umask()).toBe(before);
  });
  test("one left over from a killed daemon is replaced", async () => {
    const listen = socketAt("api.sock");
    await leaveSocket(listen.path);
    await using _ = await start(listen);
    expect((await new ApiClient(listen).call("health", {})).pid).toBe(4711);
  });
  test("one that answers belongs to another daemon and stays", async () => {
    const listen = socketAt("api.sock");
    await using _ = await start(listen);
    await expect(start(listen)).rejects.toThrow("another daemon answers there");
    expect((await new ApiClient(listen).call("health", {})).ready).toBe(true);
  });
  test("a file that is no socket is left alone", async () => {
    const listen = socketAt("api.sock");
    writeFileSync(listen.path, "precious");
    await expect(start(listen)).rejects.toThrow("it exists and is not a socket");
    expect(await Bun.file(listen.path).text()).toBe("precious");
  });
});

/** A TCP listener on a free port. */
async function startTcp(host = "127.0.0.1", options: { readonly readOnly?: boolean } = {}): Promise<Listener & { url: string }> {
  using probe = Bun.listen({ hostname: host, port: 0, socket: { data() {} } });
  const listen = { kind: "tcp", host, port: probe.port } as const;
  probe.stop(true);
  const listener = await start(listen, options);
  return { ...listener, url: `http://${formatListen(listen)}` };
}

describe("TCP", () => {
  test("serves the same contract to tools", async () => {
    await using listener = await startTcp();
    expect((await new ApiClient(listener.listen).call("status", {})).version).toBe("3.0.0");
    expect((await fetch(`${listener.url.replace("127.0.0.1", "localhost")}/status`)).status).toBe(200);
  });
  test("a port in use is named, with the command that tells who has it", async () => {
    await using first = await startTcp();
    const { port } = first.listen as Listen & { kind: "tcp" };
    await expect(start(first.listen)).rejects.toMatchObject({
      message: `cannot listen on 127.0.0.1:${port}: the address is in use`,
      hint: `see who holds it: ss -ltnp 'sport = :${port}'`,
    });
  });
  test("an address of another machine cannot be used", async () => {
    await expect(start({ kind: "tcp", host: "192.0.2.1", port: 6782 })).rejects.toMatchObject({
      message: "cannot listen on 192.0.2.1:6782: it is not an address of this host",
      hint: "",
    });
  });
  test("the flag that chooses another address is named when there is one", async () => {
    await using first = await startTcp();
    const { port } = first.listen as Listen & { kind: "tcp" };
    await expect(start(first.listen, { flag: "status-addr" })).rejects.toMatchObject({
      hint: `see who holds it: ss -ltnp 'sport = :${port}'; or choose another address with --status-addr`,
    });
  });
  test("web pages can neither act nor read by a name of their own", async () => {
    await using listener = await startTcp();
    const status = async (path: string, init: RequestInit) => (await fetch(listener.url + path, init)).status;
    expect(await status("/forget", { method: "POST", headers: { Origin: "https://evil.example" } })).toBe(403);
    expect(await status("/report", { headers: { Host: "evil.example:6782", Accept: "application/json" } })).toBe(403);
    expect(await status("/forget", { method: "POST" })).toBe(200);
  });
});

test("addresses read as they are written", () => {
  expect(formatListen({ kind: "tcp", host: "::1", port: 1 })).toBe("[::1]:1");
  expect(formatListen({ kind: "tcp", host: "localhost", port: 1 })).toBe("localhost:1");
  expect(formatListen({ kind: "unix", path: "/a" })).toBe("/a");
});
