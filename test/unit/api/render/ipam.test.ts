// SPDX-License-Identifier: Apache-2.0
// Golden texts of address allocation, after sections 1.3 and 2.4 of the feature inventory.
import { expect, test } from "bun:test";
import { formatGoJson } from "../../../../src/api/render/go-json.ts";
import { renderIpam } from "../../../../src/api/render/ipam.ts";
import { renderOverview } from "../../../../src/api/render/overview.ts";
import { buildReport } from "../../../../src/api/render/report.ts";
import type { IpamStatus } from "../../../../src/api/status.ts";
import { renderMetrics } from "../../../../src/metrics/render.ts";
import { Counters } from "../../../../src/runtime/counters.ts";
import { HOST_A, HOST_B, statusModel } from "../fake-backend.ts";

const READY: IpamStatus = {
  status: "ready",
  range: "10.32.0.0/12",
  range6: null,
  rangeSize: 2 ** 20,
  defaultSubnet: "10.32.0.0/12",
  active: 1,
  shares: [
    { ...HOST_B, addresses: 262_144, reachable: true },
    { ...HOST_A, addresses: 786_432, reachable: false },
  ],
  entries: [
    { start: "10.32.0.0", addresses: 786_432, ...HOST_A, reachable: false, version: 1 },
    { start: "10.44.0.0", addresses: 262_144, ...HOST_B, reachable: true, version: 3 },
  ],
  consensus: null,
  pendingAllocates: ["web 10.32.0.0/12"],
  pendingClaims: ["netns:/run/netns/a b 10.32.0.9/12"],
  waitingFor: [],
  conflicts: [],
  strangers: [],
  undecided: [],
  otherTwins: [],
};

test("status ipam", () => {
  expect(renderIpam(statusModel({ ipam: READY }))).toBe(`\
8a:3e:3e:3e:3e:4f(hostB)                262144 IPs (25.0% of total) (1 active)
8a:3e:3e:3e:3e:3e(nicknamington)        786432 IPs (75.0% of total) - unreachable!
`);
  expect(renderIpam(statusModel({ ipam: { ...READY, shares: [{ ...HOST_B, addresses: 1024, reachable: true }] } }))).toContain(
    "    1024 IPs (00.1% of total) ",
  );
  expect(renderIpam(statusModel())).toBe("");
});

test("its section of the overview", () => {
  expect(renderOverview(statusModel({ ipam: READY }))).toEndWith(`
        Service: ipam
         Status: ready
          Range: 10.32.0.0/12
  DefaultSubnet: 10.32.0.0/12
`);
  const waiting = { ...READY, status: "waiting for IP(s) to become available", waitingFor: [HOST_A] };
  expect(renderOverview(statusModel({ ipam: waiting }))).toContain(
    "         Status: waiting for IP(s) to become available\n     WaitingFor: 8a:3e:3e:3e:3e:3e(nicknamington)\n",
  );
});

test("the report", () => {
  const report = JSON.parse(formatGoJson(buildReport(statusModel({ ipam: READY }))));
  expect(report.IPAM).toEqual({
    Paxos: null,
    Range: "10.32.0.0/12",
    RangeNumIPs: 1_048_576,
    ActiveIPs: 1,
    DefaultSubnet: "10.32.0.0/12",
    Entries: [
      { Token: "10.32.0.0", Size: 786_432, Peer: HOST_A.name, Nickname: HOST_A.nickname, IsKnownPeer: false, Version: 1 },
      { Token: "10.44.0.0", Size: 262_144, Peer: HOST_B.name, Nickname: HOST_B.nickname, IsKnownPeer: true, Version: 3 },
    ],
    PendingClaims: [{ Ident: "netns:/run/netns/a b", CIDR: { Addr: "10.32.0.9", PrefixLen: 12 } }],
    PendingAllocates: ["web 10.32.0.0/12"],
    Conflicts: null,
    Strangers: null,
    OtherTwins: null,
  });
  const waiting = { ...READY, entries: [], pendingClaims: [], consensus: { elector: true, known: 1, quorum: 2 } };
  const early = JSON.parse(formatGoJson(buildReport(statusModel({ ipam: waiting }))));
  expect(early.IPAM).toMatchObject({ Paxos: { Elector: true, KnownNodes: 1, Quorum: 2 }, Entries: null, PendingClaims: null });
  expect(JSON.parse(formatGoJson(buildReport(statusModel()))).IPAM).toBeUndefined();
});

test("metrics, and none without allocation", () => {
  const text = renderMetrics(statusModel({ ipam: READY }), new Counters());
  for (const line of [
    'weave_ips{state="local-used"} 1',
    "weave_max_ips 1048576",
    "weave_ipam_unreachable_count 1",
    "weave_ipam_unreachable_percentage 75",
    "weave_ipam_pending_allocates 1",
    "weave_ipam_pending_claims 1",
  ]) {
    expect(text).toContain(`\n${line}\n`);
  }
  expect(renderMetrics(statusModel(), new Counters())).not.toContain("weave_ip");
});
