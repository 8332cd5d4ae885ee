// SPDX-License-Identifier: Apache-2.0
// Metrics: the names and labels Weave Net had, counters of every room, and text a Prometheus parser takes.
import { describe, expect, test } from "bun:test";
import { formatFamilies } from "../../../src/metrics/exposition.ts";
import { renderMetrics } from "../../../src/metrics/render.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { connectionStatus, statusModel } from "../api/fake-backend.ts";

function lines(text: string, name: string): string[] {
  return text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

describe("metrics", () => {
  test("connections by state, type and encryption, both kinds told for what was seen", () => {
    const connections = [
      connectionStatus(),
      connectionStatus({ encrypted: true }),
      connectionStatus(),
      connectionStatus({ state: "failed", peer: null, overlay: "" }),
    ];
    expect(lines(renderMetrics(statusModel({ router: { connections } }), new Counters()), "weave_connections")).toEqual([
      'weave_connections{state="established",type="fastdp",encryption=""} 2',
      'weave_connections{state="established",type="fastdp",encryption="yes"} 1',
      'weave_connections{state="failed",type="unknown",encryption=""} 1',
      'weave_connections{state="failed",type="unknown",encryption="yes"} 0',
    ]);
  });
  test("terminations, drops and events, and per neighbour round trip and MTU in base units", () => {
    const connections = [connectionStatus({ rttMs: 0.5 })];
    const overlayDiagnostics = {
      fastdp: {
        Drops: { "no-route": { Packets: 5, Bytes: 300 }, odd: "x" },
        Events: { "mac-moved": { Packets: 2, Bytes: 120 } },
      },
    };
    const text = renderMetrics(statusModel({ router: { connections, overlayDiagnostics } }), new Counters());
    expect(lines(text, "weave_connection_terminations_total")).toEqual(["weave_connection_terminations_total 3"]);
    expect(lines(text, "weave_frames_dropped_total")).toEqual(['weave_frames_dropped_total{reason="no-route"} 5']);
    expect(lines(text, "weave_switch_events_total")).toEqual(['weave_switch_events_total{event="mac-moved"} 2']);
    const peer = '{peer="8a:3e:3e:3e:3e:4f",nickname="hostB"}';
    expect(lines(text, "weave_connection_rtt_seconds")).toEqual([`weave_connection_rtt_seconds${peer} 0.0005`]);
    expect(lines(text, "weave_connection_mtu_bytes")).toEqual([`weave_connection_mtu_bytes${peer} 1438`]);
  });
  test("families of services that are off are absent", () => {
    expect(renderMetrics(statusModel(), new Counters())).not.toMatch(/weave_(ips|max_ips|dns_entries|ipam)/);
  });
  test("counters appear with their label; a family is told once", () => {
    const counters = new Counters();
    counters.family("weave_z_total", "last", "outcome").add("ok", 3);
    counters.family("weave_a_total", "first").add();
    counters.family("weave_connection_terminations_total", "twice").add();
    const text = renderMetrics(statusModel(), counters);
    expect(lines(text, "weave_z_total")).toEqual(['weave_z_total{outcome="ok"} 3']);
    expect(lines(text, "weave_a_total")).toEqual(["weave_a_total 1"]);
    const types = text.split("\n").filter((line) => line.startsWith("# TYPE"));
    expect(new Set(types).size).toBe(types.length);
  });
  test("every line is a comment or a sample", () => {
    const sample = /^[a-z_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? (-?[\d.e+-]+|NaN|[+-]Inf)$/;
    for (const line of renderMetrics(statusModel(), new Counters()).trimEnd().split("\n")) {
      expect(line.startsWith("# HELP ") || line.startsWith("# TYPE ") || sample.test(line) ? "" : line).toBe("");
    }
  });
  test("labels and help are escaped, numbers that are none have words", () => {
    const samples = [
      { labels: { a: 'x"y\\z\n' }, value: Number.NaN },
      { labels: {}, value: Number.POSITIVE_INFINITY },
    ];
    expect(formatFamilies([{ name: "n", type: "gauge", help: "a\\b\nc", samples }])).toBe(
      '# HELP n a\\\\b\\nc\n# TYPE n gauge\nn{a="x\\"y\\\\z\\n"} NaN\nn +Inf\n',
    );
  });
});
