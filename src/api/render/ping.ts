// SPDX-License-Identifier: Apache-2.0
// `weave ping`: the peer, then one line for each path or hop, and one for the control connections, in columns.
import type { PingHop, PingPath, PingResponse, PingSeries } from "../ping.ts";
import { lossText, msText, peerText } from "./text.ts";

export function renderPing(ping: PingResponse): string {
  const isDirect = ping.route.length === 1 && ping.routeEnd === "";
  const hops = isDirect ? [] : ping.route.map((hop, index) => row(`hop ${index + 1}`, hopWords(hop), hopText(hop)));
  const lines = [
    `${peerText(ping.peer)}: ${summary(ping)}${ping.sizeBytes === null ? "" : `, probes of ${ping.sizeBytes} bytes`}`,
    ...ping.paths.map((path) => row("path", pathWords(path), pathText(path))),
    ...hops,
    row("control", "between the daemons", seriesText(ping.control)),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function row(label: string, words: string, text: string): string {
  return `${label.padEnd(8)}${words.padEnd(32)}${text}`.trimEnd();
}

function summary({ route, routeEnd }: PingResponse): string {
  if (routeEnd !== "") return routeEnd;
  const over = route.slice(0, -1).map(({ to }) => to.nickname);
  return over.length === 0 ? "1 hop" : `${route.length} hops, over ${over.join(", ")}`;
}

function transportWords({ transport, encrypted }: { readonly transport: string; readonly encrypted: boolean }): string {
  return transport === "none" ? "no data path" : `${transport} ${encrypted ? "encrypted" : "unencrypted"}`;
}

function pathWords(path: PingPath): string {
  return `${transportWords(path).padEnd(19)}${path.inUse ? "in use" : path.state}`;
}
function pathText({ probes, mtuBytes, reason }: PingPath): string {
  return [probes && seriesText(probes), mtuText(mtuBytes), reason].filter((part) => part !== null && part !== "").join(", ");
}

function hopWords({ from, to }: PingHop): string {
  return `${from.nickname} -> ${to.nickname}`;
}
function hopText(hop: PingHop): string {
  const rtt = hop.rttMs === null ? "" : `rtt ${msText(hop.rttMs)} ms`;
  return [transportWords(hop), rtt, mtuText(hop.mtuBytes)].filter((part) => part !== "").join(", ");
}

function seriesText({ sent, received, loss, rttMs }: PingSeries): string {
  const rtt = rttMs === null ? "" : `rtt min/avg/max ${[rttMs.min, rttMs.avg, rttMs.max].map(msText).join("/")} ms`;
  return [`${received}/${sent} answered`, rtt, `loss ${lossText(loss)}`].filter((part) => part !== "").join(", ");
}
function mtuText(mtuBytes: number | null): string {
  return mtuBytes === null ? "" : `mtu ${mtuBytes}`;
}
