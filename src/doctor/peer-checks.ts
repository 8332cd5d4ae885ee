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
const NAMED_MAX = 3;
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
    const [theirs, ours] = [neighbours.filter(({ outbound }) => !outbound), neighbours.filter(({ outbound }) => outbound)];
    const dialled = await Promise.all(theirs.slice(0, DIALLED_MAX).map((one) => dialBack(patient, one)));
    const found = [...dialled.flat(), ...closedUdp(patient, neighbours), ...unseen(ours), ...unseen(theirs.slice(DIALLED_MAX))];
    if (found.length > 0 || neighbours.length === 0) return found;
    return [
      ok(
        "ports",
        `TCP passes both ways to each of ${neighbours.length} neighbours, and so does every path for data that was tried`,
      ),
    ];
  },
};

/** Whoever dialled gets through; the other way is for the other end to try. */
function unseen(dialled: readonly ConnectionStatus[]): Finding[] {
  if (dialled.length === 0) return [];
  const names = dialled.map(({ peer, address }) => peer?.nickname ?? address);
  const shown = `${names.slice(0, NAMED_MAX).join(", ")}${names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : ""}`;
  return [
    unknown(
      "ports",
      `one side's TCP port is open between us and ${shown}; the other's is seen from there`,
      "weave doctor, on those hosts",
    ),
  ];
}

async function dialBack({ config, clock }: Patient, { address, peer }: ConnectionStatus): Promise<Finding[]> {
  const end = parseIpPort(address);
  if (end === undefined) return [];
  try {
    (await connectTcp(end.ip, config.port, clock, DIAL_MS, new AbortController().signal)).close();
    return [];
  } catch (thrown) {
    const text = `${peer?.nickname} connected to us, but ${formatIpPort(end.ip, config.port)} is closed to us: ${errorText(thrown)}`;
    const fix = `open TCP ${config.port} in the firewall of ${peer?.nickname}, or ignore it where NAT lies between`;
    return [bad("ports", "warning", text, fix)];
  }
}

/** Probes go there and back, so a path that is down is closed in one direction at least. */
function closedUdp({ config: { port } }: Patient, neighbours: readonly ConnectionStatus[]): Finding[] {
  return neighbours.flatMap(({ peer, path }) =>
    (path?.alternatives ?? [])
      .filter(({ state, reason }) => state === "down" && !TOO_LARGE.test(reason))
      .map(({ transport, encrypted, reason }) => {
        const number = transport === "sleeve" ? port : encrypted ? port + 2 : port + 1;
        const why = reason === "" ? "" : `: ${reason}`;
        const text = `UDP ${number} (${transport}) does not pass between us and ${peer?.nickname}${why}`;
        return bad(
          "ports",
          "warning",
          text,
          `open UDP ${number} between both hosts; 'weave ping ${peer?.nickname}' measures every path`,
        );
      }),
  );
}
