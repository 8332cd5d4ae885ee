// SPDX-License-Identifier: Apache-2.0
// The report has the keys of section 1.3 of the feature inventory, in Go's JSON.
import { describe, expect, test } from "bun:test";
import { formatGoJson } from "../../../../src/api/render/go-json.ts";
import { buildReport } from "../../../../src/api/render/report.ts";
import { connectionStatus, dataPath, statusModel } from "../fake-backend.ts";

const parsed = (...changes: Parameters<typeof statusModel>) => JSON.parse(formatGoJson(buildReport(statusModel(...changes))));

describe("report", () => {
  test("keys of the top and of the router, in order; services that are off are absent", () => {
    expect(Object.keys(parsed())).toEqual(["Ready", "Version", "VersionCheck", "Router", "Warnings", "Notes", "Config"]);
    expect(Object.keys(parsed().Router)).toEqual([
      "Protocol",
      "ProtocolMinVersion",
      "ProtocolMaxVersion",
      "Encryption",
      "PeerDiscovery",
      "Name",
      "NickName",
      "Port",
      "Peers",
      "UnicastRoutes",
      "BroadcastRoutes",
      "Connections",
      "TerminationCount",
      "Targets",
      "OverlayDiagnostics",
      "TrustedSubnets",
      "Interface",
      "CaptureStats",
      "MACs",
      "Revoked",
    ]);
  });
  test("a route to ourselves has no next hop, an empty branch of a tree is null", () => {
    expect(parsed().Router.UnicastRoutes[0]).toEqual({ Dest: "8a:3e:3e:3e:3e:3e", Via: "00:00:00:00:00:00" });
    expect(parsed().Router.BroadcastRoutes[1]).toEqual({ Source: "8a:3e:3e:3e:3e:4f", Via: null });
  });
  test("a live connection has attributes, a target has null", () => {
    const [live, target] = parsed().Router.Connections;
    expect(live.Attrs).toEqual({ name: "fastdp", mtu: 1438 });
    expect(live.Info).toBe("fastdp 8a:3e:3e:3e:3e:4f(hostB)");
    expect([target.Attrs, target.State]).toEqual([null, "failed"]);
  });
  test("a user id that is no number does not break it", () => {
    const [peer] = statusModel().router.peers;
    expect(parsed({ router: { peers: peer ? [{ ...peer, uid: "?" }] : [] } }).Router.Peers[0].UID).toBe(0);
  });
  test("why a connection is not better is among its attributes", () => {
    const connections = [connectionStatus({ overlay: "none", reason: "no encrypted transport" })];
    expect(parsed({ router: { connections } }).Router.Connections[0].Attrs.reason).toBe("no encrypted transport");
  });
  test("the data path stands behind what Weave Net had, with what else there is; a target has none", () => {
    const other = {
      transport: "fastdp",
      encrypted: true,
      state: "down",
      reason: "no answer",
      sinceMs: 0,
      mtuBytes: 1380,
      rttMs: null,
    };
    const path = dataPath({ loss: 0.25, reason: "no answer", alternatives: [{ ...other, transport: "fastdp", state: "down" }] });
    const [live, target] = parsed({ router: { connections: [connectionStatus({ path }), connectionStatus()] } }).Router
      .Connections;
    expect(Object.keys(live)).toEqual(["Address", "Outbound", "State", "Info", "Attrs", "Path"]);
    expect(live.Path).toEqual({
      Transport: "sleeve",
      Encrypted: true,
      MTU: 1414,
      RTT: 0.5,
      Loss: 0.25,
      Reason: "no answer",
      Since: "2026-11-21T07:05:00.000Z",
      Alternatives: [
        {
          Transport: "fastdp",
          Encrypted: true,
          State: "down",
          MTU: 1380,
          RTT: null,
          Reason: "no answer",
          Since: "1970-01-01T00:00:00.000Z",
        },
      ],
    });
    expect(Object.keys(target)).not.toContain("Path");
  });
});

describe("Go's JSON", () => {
  test("maps are sorted, structs are not, undefined fields are left out", () => {
    const map = new Map([
      ["b", 1],
      ["a", 2],
    ]);
    expect(formatGoJson({ z: map, y: undefined, x: 1 })).toBe('{"z":{"a":2,"b":1},"x":1}');
  });
  test("markup is escaped, big numbers stay whole, empty things are short", () => {
    expect(formatGoJson(["<a href='x'>&", 2n ** 64n - 1n, {}, []])).toBe(
      "[\"\\u003ca href='x'\\u003e\\u0026\",18446744073709551615,{},[]]",
    );
  });
  test("indented as json.MarshalIndent does it", () => {
    expect(formatGoJson({ a: [1, { b: [] }] }, "    ")).toBe(
      '{\n    "a": [\n        1,\n        {\n            "b": []\n        }\n    ]\n}',
    );
  });
});
