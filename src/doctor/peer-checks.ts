// SPDX-License-Identifier: Apache-2.0
// The other hosts: who cannot be reached, whose ports are open which way, and whether somebody has our identity.
import type { ConnectionStatus } from "../api/status.ts";
import { connectTcp } from "../host/tcp-connect.ts";
import { formatIpPort, parseIpPort } from "../net/endpoint.ts";
import { errorText } from "../runtime/errors.ts";
import type { Check, Patient } from "./examine.ts";
import { bad, type Finding, ok, unknown } from "./finding.ts";

const DIAL_MS = 3_000;
/** Hosts of a large network are not all dialled by somebody who only looks. */
const DIALLED_MAX = 32;
const NO_DAEMON = "the daemon does not run, or may not be asked";
/** The port is open then; see the finding `mtu`. */
const TOO_LARGE = /large packets/;
const CLONE = /cloned identity/;

export const identity: Check = {
  id: "identity",
  look({ daemon }) {
    if (daemon.state !== "running") return [unknown("identity", NO_DAEMON)];
    const { warnings, router } = daemon.status;
    const told = [...warnings, ...router.connections.map(({ reason }) => reason)].filter((text) => CLONE.test(text));
    const [first] = told;
    if (first === undefined) return [ok("identity", `${router.name}(${router.nickname}), and nobody else has been seen with it`)];
    return [
      bad(
        "identity",
        "error",
        first,
        "on the host that was copied: weave reset --force, then start weave again; it gets an identity of its own",
      ),
    ];
  },
};

export const connections: Check = {
  id: "connections",
  look({ daemon }) {
    if (daemon.state !== "running") return [unknown("connections", NO_DAEMON)];
    const all = daemon.status.router.connections.filter(({ reason }) => !CLONE.test(reason));
    const troubled = all.filter(({ state, reason }) => state !== "established" && reason !== "");
    if (troubled.length > 0) {
      return troubled.map(({ address, reason, peer }) => {
        const who = peer === null ? address : `${peer.nickname} (${address})`;
        return bad(
          "connections",
          "error",
          `no connection with ${who}: ${reason}`,
          "see whether weave runs there with the same password, and 'weave doctor' there",
        );
      });
    }
    const established = all.filter(({ state }) => state === "established").length;
    return [
      ok(
        "connections",
        all.length === 0 ? "there is no other host to connect to" : `${established} of ${all.length} established`,
      ),
    ];
  },
};

export const ports: Check = {
  id: "ports",
  async look(patient) {
    const { daemon } = patient;
    if (daemon.state !== "running") return [unknown("ports", NO_DAEMON)];
    const neighbours = daemon.status.router.connections.filter(({ state, peer }) => state === "established" && peer !== null);
    const tcp = await Promise.all(neighbours.slice(0, DIALLED_MAX).map((one) => tcpBothWays(patient, one)));
    const udp = neighbours.flatMap((one) => udpBothWays(patient, one));
    const all = [...tcp.flat(), ...udp];
    return all.some(({ result }) => result !== "ok")
      ? all.filter(({ result }) => result !== "ok")
      : summary(neighbours.length, all);
  },
};

function summary(count: number, findings: readonly Finding[]): Finding[] {
  return findings.length === 0 ? [] : [ok("ports", `TCP and UDP pass both ways to each of ${count} neighbours`)];
}

/** The connection itself shows that the one who dialled gets through; the other way is tried. */
async function tcpBothWays({ config, clock }: Patient, { outbound, address, peer }: ConnectionStatus): Promise<Finding[]> {
  const nickname = peer?.nickname ?? address;
  if (outbound) {
    const text = `TCP ${address} of ${nickname} is open to us; whether it reaches ours is seen from there`;
    return [unknown("ports", text, `on ${nickname}: weave doctor`)];
  }
  const end = parseIpPort(address);
  if (end === undefined) return [];
  try {
    (await connectTcp(end.ip, config.port, clock, DIAL_MS, new AbortController().signal)).close();
    return [ok("ports", `TCP ${config.port} passes both ways between us and ${nickname}`)];
  } catch (thrown) {
    const text = `${nickname} connected to us, but ${formatIpPort(end.ip, config.port)} is closed to us: ${errorText(thrown)}`;
    return [
      bad(
        "ports",
        "warning",
        text,
        `open TCP ${config.port} in the firewall of ${nickname}, or ignore it where NAT lies between`,
      ),
    ];
  }
}

/** Probes go there and back, so a path that is up shows its port open both ways. */
function udpBothWays({ config: { port } }: Patient, { peer, path }: ConnectionStatus): Finding[] {
  const nickname = peer?.nickname ?? "";
  return (path?.alternatives ?? []).flatMap(({ transport, encrypted, state, reason }) => {
    const number = transport === "sleeve" ? port : encrypted ? port + 2 : port + 1;
    if (state === "up") return [ok("ports", `UDP ${number} passes both ways between us and ${nickname}`)];
    if (state !== "down" || TOO_LARGE.test(reason)) return [];
    const text = `UDP ${number} (${transport}) does not pass between us and ${nickname}${reason === "" ? "" : `: ${reason}`}`;
    return [bad("ports", "warning", text, `open UDP ${number} between both hosts; 'weave ping ${nickname}' measures every path`)];
  });
}
