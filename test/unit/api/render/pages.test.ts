// SPDX-License-Identifier: Apache-2.0
// Golden texts of the status pages, after the formats of section 1.3 of the feature inventory.
import { describe, expect, test } from "bun:test";
import { renderConnections } from "../../../../src/api/render/connections.ts";
import { renderOverview } from "../../../../src/api/render/overview.ts";
import { renderPeers } from "../../../../src/api/render/peers.ts";
import { renderTargets } from "../../../../src/api/render/targets.ts";
import type { ConnectionStatus } from "../../../../src/api/status.ts";
import { connectionStatus, dataPath, HOST_A, HOST_B, statusModel } from "../fake-backend.ts";

describe("overview", () => {
  test("the usual one", () => {
    expect(renderOverview(statusModel())).toBe(`\
        Version: 3.0.0 (version check update disabled)

        Service: router
       Protocol: weave 3
           Name: 8a:3e:3e:3e:3e:3e(nicknamington)
     Encryption: disabled
  PeerDiscovery: enabled
        Targets: 2
    Connections: 2 (1 established, 1 failed)
          Peers: 2 (with 2 established connections)
 TrustedSubnets: none
`);
  });

  test("alone, with everything else different", () => {
    const { peers } = statusModel().router;
    const alone = statusModel({
      router: {
        protocolMinVersion: 3,
        protocolMaxVersion: 4,
        encryption: true,
        peerDiscovery: false,
        trustedSubnets: ["10.9.9.0/24", "192.168.0.0/16"],
        targets: [],
        connections: [],
        peers: peers.slice(0, 1).map((peer) => ({ ...peer, connections: [] })),
      },
    });
    expect(renderOverview(alone).split("\n").slice(3)).toEqual([
      "       Protocol: weave 3..4",
      "           Name: 8a:3e:3e:3e:3e:3e(nicknamington)",
      "     Encryption: enabled",
      "  PeerDiscovery: disabled",
      "        Targets: 0",
      "    Connections: 0",
      "          Peers: 1",
      " TrustedSubnets: 10.9.9.0/24, 192.168.0.0/16",
      "",
    ]);
  });

  test("warnings come first, each on its line", () => {
    const text = renderOverview(statusModel({ warnings: ["two hosts have the name x", "the clock differs"] }));
    expect(text).toStartWith(
      "        Warning: two hosts have the name x\n        Warning: the clock differs\n\n        Version: 3.0.0",
    );
  });

  test("notes stand behind them", () => {
    expect(renderOverview(statusModel({ warnings: ["the clock differs"], notes: ["this kernel has no WireGuard"] }))).toStartWith(
      "        Warning: the clock differs\n           Note: this kernel has no WireGuard\n\n",
    );
  });

  test("states are counted in a fixed order, waiting too", () => {
    const states = ["waiting", "connecting", "failed", "retrying", "pending", "established", "failed"] as const;
    const { peers } = statusModel().router;
    const pending = peers.map((peer) => ({
      ...peer,
      connections: peer.connections.map((one) => ({ ...one, established: false })),
    }));
    const model = statusModel({ router: { connections: states.map((state) => connectionStatus({ state })), peers: pending } });
    const text = renderOverview(model);
    expect(text).toContain("    Connections: 7 (1 established, 1 pending, 1 retrying, 2 failed, 1 connecting, 1 waiting)\n");
    expect(text).toContain("          Peers: 2 (with 2 pending connections)\n");
  });
});

describe("connections", () => {
  const line = (changes: Partial<ConnectionStatus>) =>
    renderConnections(statusModel({ router: { connections: [connectionStatus(changes)] } }));

  test("without a password: transport, peer, attributes", () => {
    expect(line({})).toBe("<- 10.9.9.2:49973        established fastdp 8a:3e:3e:3e:3e:4f(hostB) mtu=1438\n");
  });
  test("with a password: whether frames are encrypted stands before; attributes are sorted and apart", () => {
    expect(line({ passwordUsed: true, encrypted: true, overlay: "sleeve", rttMs: 0.4321 })).toBe(
      "<- 10.9.9.2:49973        established encrypted   sleeve 8a:3e:3e:3e:3e:4f(hostB) encrypted=true mtu=1438 rtt=0.43ms\n",
    );
    expect(line({ passwordUsed: true, mtuBytes: null, rttMs: 12.34 })).toBe(
      "<- 10.9.9.2:49973        established unencrypted fastdp 8a:3e:3e:3e:3e:4f(hostB) rtt=12.3ms\n",
    );
  });
  test("not on the best path: why and since when; loss only when there is some", () => {
    const path = dataPath({ loss: 0.034, reason: "no answer over the fast datapath" });
    const changes = { passwordUsed: true, encrypted: true, overlay: "sleeve", mtuBytes: 1414, path } as const;
    expect(line({ ...changes, reason: path.reason, sinceMs: path.sinceMs })).toBe(
      "<- 10.9.9.2:49973        established encrypted   sleeve 8a:3e:3e:3e:3e:4f(hostB) encrypted=true loss=3% mtu=1414 " +
        'reason="no answer over the fast datapath" since="2026-11-21 07:05:00 +0000 UTC"\n',
    );
    expect(line({ path: dataPath({ loss: 0.004 }) })).toContain(" loss=0.4% ");
    expect(line({ path: dataPath() })).not.toContain("loss");
  });
  test("the kernel answers while the daemon is away", () => {
    expect(line({ control: "stale", mtuBytes: null })).toContain("(hostB) control=stale\n");
  });
  test("targets: the error and the next attempt", () => {
    const target = { address: "10.9.9.1:6783", outbound: true, peer: null, overlay: "", mtuBytes: null } as const;
    const retryAtMs = Date.UTC(2026, 10, 21, 7, 21, 26, 567);
    expect(line({ ...target, state: "failed", reason: "connection refused", retryAtMs })).toBe(
      "-> 10.9.9.1:6783         failed      connection refused, retry: 2026-11-21 07:21:26 +0000 UTC\n",
    );
    expect(line({ ...target, state: "failed", reason: "cannot connect to ourself" })).toBe(
      "-> 10.9.9.1:6783         failed      cannot connect to ourself, retry: never\n",
    );
    expect(line({ ...target, state: "retrying", reason: "no route to host" })).toBe(
      "-> 10.9.9.1:6783         retrying    no route to host\n",
    );
    expect(line({ ...target, state: "connecting" }).trimEnd()).toBe("-> 10.9.9.1:6783         connecting");
  });
  test("a refused connection to a known peer is a target, not a live one", () => {
    expect(line({ state: "failed", overlay: "none", reason: "peer names collision" })).toContain(
      "failed      peer names collision, retry: never\n",
    );
  });
  test("an address longer than its column pushes the rest", () => {
    expect(line({ address: "[2001:db8::aaaa:bbbb]:49973" })).toStartWith("<- [2001:db8::aaaa:bbbb]:49973 established fastdp");
  });
});

describe("peers and targets", () => {
  test("a peer, then its connections in columns", () => {
    const model = statusModel();
    const [first] = model.router.peers;
    const more = {
      ...HOST_B,
      uid: "00",
      shortId: 9,
      version: 1,
      connections: [{ ...HOST_A, address: "10.9.9.1:6783", outbound: true, established: false }],
    };
    const text = renderPeers(statusModel({ router: { peers: first ? [first, more] : [] } }));
    expect(text).toBe(`\
8a:3e:3e:3e:3e:3e(nicknamington)
   <- 10.9.9.2:49973        8a:3e:3e:3e:3e:4f(hostB)              established
8a:3e:3e:3e:3e:4f(hostB)
   -> 10.9.9.1:6783         8a:3e:3e:3e:3e:3e(nicknamington)      pending
`);
  });
  test("targets as they were given", () => {
    expect(renderTargets(statusModel())).toBe("10.9.9.1\nhostb:6783\n");
    expect(renderTargets(statusModel({ router: { targets: [] } }))).toBe("");
  });
});
