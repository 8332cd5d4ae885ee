// SPDX-License-Identifier: Apache-2.0
// The HTTP server over a real unix socket: paths, methods, texts and status codes that scripts know, and its limits.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { BODY_LIMIT_BYTES } from "../../../src/api/server.ts";
import { FakeDaemon } from "../cli/fake-cli.ts";
import { statusModel } from "./fake-backend.ts";

let daemon: FakeDaemon;
beforeAll(async () => {
  daemon = await FakeDaemon.start();
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});
beforeEach(() => {
  daemon.backend.calls.length = 0;
  daemon.backend.model = statusModel();
});

interface Got {
  readonly status: number;
  readonly body: string;
  readonly type: string | null;
}
async function ask(method: string, path: string, init: Omit<RequestInit, "method"> = {}): Promise<Got> {
  const response = await fetch(`http://localhost${path}`, { ...init, method, unix: daemon.socket });
  return { status: response.status, body: await response.text(), type: response.headers.get("content-type") };
}
function form(text: string): RequestInit {
  return { body: text, headers: { "Content-Type": "application/x-www-form-urlencoded" } };
}
function json(value: unknown): RequestInit {
  return { body: JSON.stringify(value), headers: { "Content-Type": "application/json" } };
}

describe("paths of Weave Net", () => {
  test("status pages are text, and 503 with the same text until the daemon is ready", async () => {
    const ready = await ask("GET", "/status");
    expect(ready).toMatchObject({ status: 200, type: "text/plain; charset=utf-8" });
    daemon.backend.model = statusModel({ ready: false });
    expect(await ask("GET", "/status")).toEqual({ ...ready, status: 503 });
    expect((await ask("GET", "/status/targets")).body).toBe("10.9.9.1\nhostb:6783\n");
  });
  test("report answers JSON when it is asked for JSON, otherwise it wants one format", async () => {
    const asJson = await ask("GET", "/report", { headers: { Accept: "application/json" } });
    expect(asJson).toMatchObject({ status: 200, type: "application/json" });
    expect(JSON.parse(asJson.body)).toMatchObject({ Ready: true, Router: { NickName: "nicknamington" } });
    expect(await ask("GET", "/report?format=%7B%7B.Version%7D%7D")).toMatchObject({ status: 200, body: "3.0.0" });
    expect((await ask("GET", "/report")).status).toBe(400);
    expect((await ask("GET", "/report?format=a&format=b")).status).toBe(400);
    expect((await ask("GET", "/report?format=%7B%7Bnope%7D%7D")).status).toBe(400);
    expect((await ask("GET", "/report?format=%7B%7B.Nope%7D%7D")).status).toBe(500);
  });
  test("connect takes peers from query and form; 200 and nothing, or 400 with a line for each bad one", async () => {
    expect(await ask("POST", "/connect?peer=a", form("peer=b&replace=true"))).toMatchObject({ status: 200, body: "" });
    expect(await ask("POST", "/connect", form("peer=bad1&peer=ok&peer=bad2"))).toMatchObject({
      status: 400,
      body: "cannot use peer 'bad1'\ncannot use peer 'bad2'\n",
    });
    expect((await ask("POST", "/connect")).status).toBe(200);
    expect(daemon.backend.calls).toEqual([
      ["connect", ["a", "b"], { replace: true }],
      ["connect", ["bad1", "ok", "bad2"], { replace: false }],
      ["connect", [], { replace: false }],
    ]);
  });
  test("expose checks everything before it exposes", async () => {
    expect(await ask("POST", "/expose/10.2.1.1/24?skipNAT=true")).toMatchObject({ status: 204, body: "" });
    expect((await ask("POST", "/expose/10.2.1.1/24?skipNAT=perhaps")).status).toBe(400);
    expect((await ask("POST", "/expose/10.2.1.1/33")).status).toBe(400);
    expect((await ask("POST", "/expose/10.2.1.1/24")).status).toBe(204);
    expect((await ask("DELETE", "/expose/fd00%3A%3A1/64")).status).toBe(204);
    expect(daemon.backend.calls).toEqual([
      ["expose", { addresses: ["10.2.1.1/24"], masquerade: false }],
      ["expose", { addresses: ["10.2.1.1/24"], masquerade: true }],
      ["hide", ["fd00::1/64"]],
    ]);
  });
  test("the IPAM paths, with their methods, parameters and answers", async () => {
    expect(await ask("POST", "/ip/c1?check-alive=true")).toMatchObject({ status: 200, body: "10.32.0.1/12" });
    expect(await ask("POST", "/ip/c1/10.32.2.0/24")).toMatchObject({ status: 200, body: "10.32.0.1/12" });
    expect(await ask("PUT", "/ip/c1/10.32.2.7/24?noErrorOnUnknown=true")).toMatchObject({ status: 204, body: "" });
    expect(await ask("PUT", "/ip/bad/10.32.2.7/24")).toMatchObject({ status: 409, type: "text/plain; charset=utf-8" });
    expect(await ask("GET", "/ip/c1")).toMatchObject({ status: 200, body: "10.32.0.1/12 10.32.0.2/12" });
    expect(await ask("GET", "/ip")).toMatchObject({
      status: 200,
      body: '{"owned":[{"containerid":"web","addrs":["10.32.0.1/12"]}]}',
    });
    expect(await ask("DELETE", "/ip/c1/10.32.0.1")).toMatchObject({ status: 204 });
    expect(await ask("DELETE", "/ip/c1")).toMatchObject({ status: 204 });
    expect(await ask("GET", "/ring")).toMatchObject({ status: 200, body: "" });
    expect(await ask("GET", "/ipinfo/defaultsubnet")).toMatchObject({ status: 200, body: "10.32.0.0/12" });
    expect(await ask("GET", "/ipinfo/tracker")).toMatchObject({ status: 200, body: "" });
    expect((await ask("POST", "/ip/c1/10.32.2.0/x")).status).toBe(400);
    const claim = { id: "bad", cidr: "10.32.2.7/24", checkAlive: false, noErrorOnUnknown: false };
    expect(daemon.backend.calls).toEqual([
      ["ipAllocate", { id: "c1", subnet: undefined, checkAlive: true }],
      ["ipAllocate", { id: "c1", subnet: "10.32.2.0/24", checkAlive: false }],
      ["ipClaim", { ...claim, id: "c1", noErrorOnUnknown: true }],
      ["ipClaim", claim],
      ["ipLookup", { id: "c1", subnet: undefined, checkAlive: false }],
      ["ipRelease", "c1", "10.32.0.1"],
      ["ipRelease", "c1", undefined],
      ["ring"],
    ]);
  });
  test("DELETE /peer leaves, DELETE /peer/{id} takes over", async () => {
    expect((await ask("DELETE", "/peer")).status).toBe(204);
    expect(await ask("DELETE", "/peer/hostB")).toMatchObject({ status: 200, body: "" });
    expect(await ask("DELETE", "/peer/hostB?revoke=true")).toMatchObject({ status: 200, body: "hostB revoked\n" });
    expect(daemon.backend.calls).toEqual([["leave"], ["removePeer", "hostB", false], ["removePeer", "hostB", true]]);
  });
  test("metrics are Prometheus text", async () => {
    expect(await ask("GET", "/metrics")).toMatchObject({
      status: 200,
      body: "# metrics\n",
      type: "text/plain; version=0.0.4; charset=utf-8",
    });
  });
});

describe("what is not there", () => {
  test("an unknown path is 404 with Go's words, a wrong method 405", async () => {
    expect(await ask("GET", "/nope")).toMatchObject({ status: 404, body: "404 page not found\n" });
    expect(await ask("GET", "/status/")).toMatchObject({ status: 404 });
    expect(await ask("GET", "/status/dns")).toMatchObject({ status: 404 });
    expect((await ask("GET", "/connect")).status).toBe(405);
    expect((await ask("PUT", "/status")).status).toBe(405);
    const response = await fetch("http://localhost/expose/1.2.3.4/24", { unix: daemon.socket });
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST, DELETE"]);
  });
  test("escapes and dots do not lead elsewhere", async () => {
    expect((await ask("GET", "/%73tatus")).status).toBe(200);
    expect((await ask("GET", "/x/%2e%2e/status")).status).toBe(200);
    expect((await ask("DELETE", "/peer/%ff")).status).toBe(404);
    expect((await ask("DELETE", "/peer/")).status).toBe(404);
  });
});

describe("JSON operations", () => {
  test("attach passes the request on and answers the addresses", async () => {
    expect(await ask("POST", "/v1/attach", json({ target: "web", addresses: ["10.2.1.1/24"] }))).toEqual({
      status: 200,
      type: "application/json",
      body: '{"addresses":["10.2.1.1/24"]}\n',
    });
  });
  test("refusals carry code, message and hint", async () => {
    const { status, body } = await ask("POST", "/v1/attach", json({ target: "bad", addresses: [] }));
    expect(status).toBe(409);
    expect(JSON.parse(body)).toEqual({
      code: "conflict",
      message: "cannot attach container 'bad': it is not running",
      hint: "start it first",
    });
  });
  test("a bug is a 500 with its message and closes nothing", async () => {
    const { status, body } = await ask("POST", "/v1/attach", json({ target: "crash" }));
    expect([status, JSON.parse(body).code]).toEqual([500, "internal"]);
    expect((await ask("GET", "/v1/health")).status).toBe(200);
  });
  test.each([
    ["no JSON", { body: "{", headers: { "Content-Type": "application/json" } }, "is not JSON"],
    ["no object", json([]), "is not a JSON object"],
    ["an unknown key", json({ target: "a", adresses: [] }), "unknown key 'adresses'"],
    ["a missing target", json({}), "'target' is missing"],
    ["a number for a text", json({ target: 5 }), "'target' is missing"],
    ["a text for a list", json({ target: "a", addresses: "10.2.1.1/24" }), "'addresses' is not a list"],
    ["a text for a flag", json({ target: "a", tap: "yes" }), "'tap' is not true or false"],
    ["too many addresses", json({ target: "a", addresses: new Array(257).fill("x") }), "more than 256 entries"],
    ["a long text", json({ target: "a".repeat(5000) }), "longer than 4096 characters"],
    ["a control character", json({ target: "a\nb" }), "control characters"],
    ["a form", form("target=a"), "is not a JSON object"],
    ["another type", { body: "x", headers: { "Content-Type": "text/xml" } }, "cannot read a body of type 'text/xml'"],
    ["no body", {}, "is not a JSON object"],
  ])("%s is refused and nothing is done", async (_, init, words) => {
    const { status, body } = await ask("POST", "/v1/attach", init);
    expect([status, JSON.parse(body).code]).toEqual([400, "bad-request"]);
    expect(JSON.parse(body).message).toContain(words);
    expect(daemon.backend.calls).toEqual([]);
  });
  test("a body beyond the limit is refused unread", async () => {
    const big = json({ target: "a", addHosts: ["x".repeat(BODY_LIMIT_BYTES)] });
    expect((await ask("POST", "/v1/attach", big)).status).toBe(413);
    expect(daemon.backend.calls).toEqual([]);
  });
});

test("the read-only listener has the pages and nothing that acts", async () => {
  await using readOnly = await FakeDaemon.start({ readOnly: true });
  const status = async (method: string, path: string) =>
    (await fetch(`http://localhost${path}`, { method, unix: readOnly.socket })).status;
  for (const path of ["/status", "/status/peers", "/metrics", "/v1/status", "/v1/health"])
    expect(await status("GET", path)).toBe(200);
  for (const path of ["/connect", "/forget", "/v1/attach", "/v1/detach", "/expose/10.2.1.1/24"]) {
    expect(await status("POST", path)).toBe(404);
  }
  expect(await status("GET", "/v1/ps")).toBe(404);
  expect(await status("DELETE", "/peer")).toBe(404);
  expect(readOnly.backend.calls).toEqual([]);
});
