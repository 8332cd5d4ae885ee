// SPDX-License-Identifier: Apache-2.0
// What the transports have counted, as one plain value that the daemon fills in from its parts, and the metric families made of it. A
// transport that does not run here is undefined and has no families.
import type { Family, Sample } from "./exposition.ts";

/** How frames reach a neighbour: transport and encryption. */
export type PathLabel = "fastdp" | "fastdp-encrypted" | "sleeve" | "sleeve-encrypted";

export interface TransportStats {
  /** Connections that went from one path to another, since the daemon's start. */
  readonly switches: readonly { readonly from: PathLabel; readonly to: PathLabel; readonly count: number }[];
  readonly sleeve: SleeveTotals | undefined;
  readonly wireguard: WireguardTotals | undefined;
}

/** Totals over all sessions of the daemon's life. Datagrams as they are on the wire, bytes of UDP payload. */
export interface SleeveTotals {
  readonly sent: Traffic;
  readonly received: Traffic;
  /** By a word from a closed set. */
  readonly drops: Readonly<Record<string, number>>;
  readonly rekeys: number;
  /** Neighbours with a session, by cipher. */
  readonly sessions: Readonly<Record<string, number>>;
  /** What the kernel does for us, by name (`udp-gso`, `udp-gro`, …), and whether it still does. */
  readonly offloads: Readonly<Record<string, boolean>>;
}
export interface Traffic {
  readonly frames: number;
  readonly datagrams: number;
  readonly bytes: number;
}

export interface WireguardTotals {
  readonly peers: readonly {
    /** Peer name and nickname, as everywhere. */
    readonly name: string;
    readonly nickname: string;
    readonly sentBytes: number;
    readonly receivedBytes: number;
    /** Wall-clock ms of the last handshake; null: none yet. */
    readonly handshakeMs: number | null;
  }[];
}

export function transportFamilies({ switches, sleeve, wireguard }: TransportStats): Family[] {
  return [
    {
      name: "weave_path_switches_total",
      type: "counter",
      help: "Connections that went from one path to another.",
      samples: switches.map(({ from, to, count }) => ({ labels: { from, to }, value: count })),
    },
    ...(sleeve ? sleeveFamilies(sleeve) : []),
    ...(wireguard ? wireguardFamilies(wireguard) : []),
  ];
}

function sleeveFamilies({ sent, received, drops, rekeys, sessions, offloads }: SleeveTotals): Family[] {
  const bothWays = (key: keyof Traffic): Sample[] => [
    { labels: { direction: "received" }, value: received[key] },
    { labels: { direction: "sent" }, value: sent[key] },
  ];
  const byWord = (label: string, counts: Readonly<Record<string, number>>): Sample[] =>
    Object.entries(counts).map(([word, value]) => ({ labels: { [label]: word }, value }));
  const uses = Object.fromEntries(Object.entries(offloads).map(([name, isOn]) => [name, isOn ? 1 : 0]));
  return [
    family("counter", "weave_sleeve_frames_total", "Frames the sleeve carried.", bothWays("frames")),
    family("counter", "weave_sleeve_datagrams_total", "UDP datagrams of the sleeve.", bothWays("datagrams")),
    family("counter", "weave_sleeve_bytes_total", "Bytes in UDP datagrams of the sleeve.", bothWays("bytes")),
    family("counter", "weave_sleeve_dropped_total", "What the sleeve dropped, by reason.", byWord("reason", drops)),
    family("counter", "weave_sleeve_rekeys_total", "Keys of sleeve sessions that were renewed.", [{ labels: {}, value: rekeys }]),
    family("gauge", "weave_sleeve_sessions", "Neighbours with a sleeve session, by cipher.", byWord("cipher", sessions)),
    family("gauge", "weave_sleeve_offload", "1 when the kernel does this for the sleeve, 0 when not.", byWord("offload", uses)),
  ];
}

function wireguardFamilies({ peers }: WireguardTotals): Family[] {
  const labels = ({ name, nickname }: WireguardTotals["peers"][number]) => ({ peer: name, nickname });
  const bytes = peers.flatMap((peer) => [
    { labels: { ...labels(peer), direction: "received" }, value: peer.receivedBytes },
    { labels: { ...labels(peer), direction: "sent" }, value: peer.sentBytes },
  ]);
  const handshakes = peers.flatMap((peer) =>
    peer.handshakeMs === null ? [] : [{ labels: labels(peer), value: peer.handshakeMs / 1000 }],
  );
  return [
    family("gauge", "weave_wireguard_peers", "Neighbours that WireGuard is set up for.", [{ labels: {}, value: peers.length }]),
    family("counter", "weave_wireguard_bytes_total", "Bytes that WireGuard carried to and from a neighbour.", bytes),
    family(
      "gauge",
      "weave_wireguard_last_handshake_seconds",
      "When WireGuard last shook hands with a neighbour, since unix epoch.",
      handshakes,
    ),
  ];
}

function family(type: Family["type"], name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type, help, samples };
}
