// SPDX-License-Identifier: Apache-2.0
// Connections of the status model: what the mesh and the overlay say of one neighbour, in one value.
import { expect, test } from "bun:test";
import { type RouterParts, routerStatus } from "../../../src/daemon/status-model.ts";
import { type PeerName, peerNameFrom, type ShortId } from "../../../src/mesh/peer-name.ts";
import type { ConnectionView } from "../../../src/mesh/ports.ts";
import type { PathStatus } from "../../../src/overlay/path-status.ts";
import { EMPTY_ROUTES } from "../../../src/overlay/plan.ts";

const SELF: PeerName = peerNameFrom(1)!;
const PEER: PeerName = peerNameFrom(2)!;

const CONNECTION: ConnectionView = {
  address: "10.0.0.2:6783",
  outbound: true,
  state: "established",
  peer: { name: PEER, nickname: "b" },
  reason: "",
  sinceMs: 100,
  passwordUsed: true,
  trusted: false,
  control: "up",
  rttMs: 2,
};
const PATH: PathStatus = {
  transport: "fastdp",
  encrypted: true,
  mtuBytes: 1380,
  rttMs: 0.25,
  loss: 0,
  reason: "",
  sinceMs: 200,
  alternatives: [],
};

function shown(connection: ConnectionView, path: PathStatus | undefined) {
  const parts: RouterParts = {
    mesh: {
      self: { name: SELF, nickname: "a", uid: "01", shortId: 1 as ShortId },
      peers: [],
      connections: [connection],
      targets: [],
      routes: EMPTY_ROUTES,
      revoked: [],
      warnings: [],
      terminations: 0,
    },
    port: 6783,
    protocol: { min: 3, max: 3 },
    passwordSet: true,
    discovery: true,
    trustedSubnets: [],
    switch: { kind: { object: "", attach: "" }, macs: [], drops: {}, events: {}, peers: new Map(), ports: 0, repairs: 0 },
    mtuBytes: 1430,
    nowMs: 1_000,
    pathOf: (name) => (name === PEER ? path : undefined),
  };
  return routerStatus(parts).connections[0];
}

test("the transport, its encryption and its figures are those of the path", () => {
  expect(shown(CONNECTION, PATH)).toMatchObject({
    state: "established",
    overlay: "fastdp",
    encrypted: true,
    rttMs: 0.25,
    mtuBytes: 1380,
    reason: "",
    sinceMs: 100,
    path: PATH,
  });
});
test("what the overlay does not know is taken from the mesh and the bridge, but a path that is none has no MTU", () => {
  const vague = { ...PATH, rttMs: null, mtuBytes: null };
  expect(shown(CONNECTION, vague)).toMatchObject({ rttMs: 2, mtuBytes: 1430, path: { rttMs: 2, mtuBytes: 1430 } });
  expect(shown(CONNECTION, { ...vague, transport: "none" })).toMatchObject({ overlay: "none", mtuBytes: null });
});
test("a reason of the path comes with its own time, one of the connection with the connection's", () => {
  const second: PathStatus = { ...PATH, transport: "sleeve", reason: "no answer over the fast datapath" };
  expect(shown(CONNECTION, second)).toMatchObject({ reason: second.reason, sinceMs: 200 });
  const pending = { ...CONNECTION, state: "pending", reason: "the peer gets no answer" } as const;
  expect(shown(pending, second)).toMatchObject({ reason: "the peer gets no answer", sinceMs: 100 });
});
test("a target has no path", () => {
  const { peer: _, ...target } = CONNECTION;
  expect(shown({ ...target, state: "failed", control: "none" }, PATH)).toMatchObject({
    overlay: "",
    path: null,
    encrypted: false,
  });
});
