// SPDX-License-Identifier: Apache-2.0
// Metrics: the names and labels Weave Net had, counters of every room, and text a Prometheus parser takes.
import { describe, expect, test } from "bun:test";
import { formatFamilies } from "../../../src/metrics/exposition.ts";
import { renderMetrics } from "../../../src/metrics/render.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { connectionStatus, dataPath, statusModel } from "../api/fake-backend.ts";

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
    const connections = [connectionStatus({ rttMs: 0.5, path: dataPath({ loss: 0.25 }) })];
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
    expect(lines(text, "weave_connection_loss_ratio")).toEqual([`weave_connection_loss_ratio${peer} 0.25`]);
  });
  test("transports tell their totals; one that does not run tells nothing", () => {
    const traffic = { frames: 1, datagrams: 2, bytes: 3 };
    const sleeve = {
      sent: traffic,
      received: { frames: 4, datagrams: 5, bytes: 6 },
      drops: { replayed: 7 },
      rekeys: 8,
      sessions: { aes256gcm: 9 },
      offloads: { "udp-gso": true, "udp-gro": false },
    };
    const switches = [{ from: "fastdp-encrypted", to: "sleeve-encrypted", count: 2 }] as const;
    const text = renderMetrics(statusModel(), new Counters(), { switches, sleeve, wireguard: undefined });
    const told = text.split("\n").filter((line) => /^weave_(path_switches|sleeve|wireguard)/.test(line));
    expect(told).toEqual([
      'weave_path_switches_total{from="fastdp-encrypted",to="sleeve-encrypted"} 2',
      'weave_sleeve_frames_total{direction="received"} 4',
      'weave_sleeve_frames_total{direction="sent"} 1',
      'weave_sleeve_datagrams_total{direction="received"} 5',
      'weave_sleeve_datagrams_total{direction="sent"} 2',
      'weave_sleeve_bytes_total{direction="received"} 6',
      'weave_sleeve_bytes_total{direction="sent"} 3',
      'weave_sleeve_dropped_total{reason="replayed"} 7',
      "weave_sleeve_rekeys_total 8",
      'weave_sleeve_sessions{cipher="aes256gcm"} 9',
      'weave_sleeve_offload{offload="udp-gso"} 1',
      'weave_sleeve_offload{offload="udp-gro"} 0',
    ]);
  });
  test("WireGuard tells bytes and handshakes of each neighbour by name", () => {
    const peer = { name: "8a:3e:3e:3e:3e:4f", nickname: "hostB", sentBytes: 1, receivedBytes: 2, handshakeMs: 1500 };
    const young = { ...peer, name: "8a:3e:3e:3e:3e:50", nickname: "hostC", handshakeMs: null };
    const stats = { switches: [], sleeve: undefined, wireguard: { peers: [peer, young] } };
    const text = renderMetrics(statusModel(), new Counters(), stats);
    expect(lines(text, "weave_wireguard_peers")).toEqual(["weave_wireguard_peers 2"]);
    expect(lines(text, "weave_wireguard_bytes_total").slice(0, 2)).toEqual([
      'weave_wireguard_bytes_total{peer="8a:3e:3e:3e:3e:4f",nickname="hostB",direction="received"} 2',
      'weave_wireguard_bytes_total{peer="8a:3e:3e:3e:3e:4f",nickname="hostB",direction="sent"} 1',
    ]);
    expect(lines(text, "weave_wireguard_last_handshake_seconds")).toEqual([
      'weave_wireguard_last_handshake_seconds{peer="8a:3e:3e:3e:3e:4f",nickname="hostB"} 1.5',
    ]);
    expect(text).not.toContain("weave_path_switches_total");
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
