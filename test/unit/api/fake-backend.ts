// SPDX-License-Identifier: Apache-2.0
// A daemon for the tests of the faces: a fixed status, and a record of what it was asked to do.
import type {
  AttachRequest,
  Backend,
  DetachRequest,
  ExposeRequest,
  IpClaim,
  IpQuery,
  RefusedTarget,
} from "../../../src/api/backend.ts";
import type { DnsBackend } from "../../../src/api/dns.ts";
import type { PingRequest, PingResponse } from "../../../src/api/ping.ts";
import type { ConnectionStatus, DataPathStatus, PsEntry, RouterStatus, StatusModel } from "../../../src/api/status.ts";
import { UserError } from "../../../src/runtime/errors.ts";

export const HOST_A = { name: "8a:3e:3e:3e:3e:3e", nickname: "nicknamington" };
export const HOST_B = { name: "8a:3e:3e:3e:3e:4f", nickname: "hostB" };

export function connectionStatus(changes: Partial<ConnectionStatus> = {}): ConnectionStatus {
  return {
    address: "10.9.9.2:49973",
    outbound: false,
    state: "established",
    peer: HOST_B,
    overlay: "fastdp",
    passwordUsed: false,
    encrypted: false,
    reason: "",
    sinceMs: Date.UTC(2026, 10, 21, 7, 0, 0),
    retryAtMs: null,
    control: "up",
    rttMs: null,
    mtuBytes: 1438,
    path: null,
    ...changes,
  };
}

export function dataPath(changes: Partial<DataPathStatus> = {}): DataPathStatus {
  return {
    transport: "sleeve",
    encrypted: true,
    mtuBytes: 1414,
    rttMs: 0.5,
    loss: 0,
    reason: "",
    sinceMs: Date.UTC(2026, 10, 21, 7, 5, 0),
    alternatives: [],
    ...changes,
  };
}

export function pingResponse(changes: Partial<PingResponse> = {}): PingResponse {
  const path = { transport: "fastdp", encrypted: true, reason: "", sinceMs: 0, mtuBytes: 1410 } as const;
  const probes = { sent: 5, received: 5, loss: 0, rttMs: { min: 0.21, avg: 0.25, max: 12.34 } };
  return {
    apiVersion: 1,
    peer: HOST_B,
    answered: true,
    sizeBytes: null,
    paths: [
      { ...path, inUse: true, state: "up", probes },
      {
        ...path,
        transport: "sleeve",
        inUse: false,
        state: "down",
        mtuBytes: null,
        reason: "no answer",
        probes: { ...probes, received: 0, loss: 1, rttMs: null },
      },
    ],
    route: [{ from: HOST_A, to: HOST_B, transport: "fastdp", encrypted: true, mtuBytes: 1410, rttMs: 0.25 }],
    routeEnd: "",
    control: { ...probes, received: 4, loss: 0.2 },
    ...changes,
  };
}

export function routerStatus(changes: Partial<RouterStatus> = {}): RouterStatus {
  return {
    ...HOST_A,
    uid: "ffffffffffffff01",
    shortId: 7,
    port: 6783,
    protocolMinVersion: 3,
    protocolMaxVersion: 3,
    encryption: false,
    peerDiscovery: true,
    trustedSubnets: [],
    targets: ["10.9.9.1", "hostb:6783"],
    connections: [
      connectionStatus(),
      connectionStatus({
        address: "10.9.9.1:6783",
        outbound: true,
        state: "failed",
        peer: null,
        overlay: "",
        reason: "connect: connection refused",
        retryAtMs: Date.UTC(2026, 10, 21, 7, 21, 26, 567),
        mtuBytes: null,
      }),
    ],
    peers: [
      {
        ...HOST_A,
        uid: "ffffffffffffff01",
        shortId: 7,
        version: 4,
        connections: [{ ...HOST_B, address: "10.9.9.2:49973", outbound: false, established: true }],
      },
      {
        ...HOST_B,
        uid: "0000000000000002",
        shortId: 9,
        version: 2,
        connections: [{ ...HOST_A, address: "10.9.9.1:6783", outbound: true, established: true }],
      },
    ],
    unicastRoutes: [
      { destination: HOST_A.name, via: null },
      { destination: HOST_B.name, via: HOST_B.name },
    ],
    broadcastRoutes: [
      { source: HOST_A.name, via: [HOST_B.name] },
      { source: HOST_B.name, via: [] },
    ],
    terminationCount: 3,
    revoked: [],
    interface: "weave (via BPF)",
    macs: [{ mac: "02:00:00:00:00:01", ...HOST_B, lastSeenMs: Date.UTC(2026, 10, 21, 7, 0, 1) }],
    overlayDiagnostics: { sleeve: null, fastdp: { Drops: { "no-route": 2 } } },
    captureStats: {},
    ...changes,
  };
}

export function statusModel(
  changes: Partial<Omit<StatusModel, "router">> & { router?: Partial<RouterStatus> } = {},
): StatusModel {
  return {
    apiVersion: 1,
    version: "3.0.0",
    pid: 4711,
    startedAtMs: 0,
    ready: true,
    warnings: [],
    notes: [],
    proxy: null,
    dns: null,
    ipam: null,
    plugin: null,
    config: { port: 6783, passwords: ["********"] },
    ...changes,
    router: routerStatus(changes.router),
  };
}

/** Every call is appended to `calls`; targets and containers named `bad…` are refused, addresses in 10.200/16 warned of. */
export class FakeBackend implements Backend {
  readonly calls: unknown[][] = [];
  model: StatusModel = statusModel();
  entries: readonly PsEntry[] = [];
  pinged: PingResponse = pingResponse();
  fingerprints: readonly string[] = ["a1b2", "c3d4"];
  dns: DnsBackend | undefined;

  status(): StatusModel {
    return this.model;
  }
  health() {
    const { ready, version, pid, router } = this.model;
    return { apiVersion: 1 as const, ready, version, pid, name: router.name, nickname: router.nickname };
  }
  async connect(peers: readonly string[], options: { readonly replace: boolean }): Promise<readonly RefusedTarget[]> {
    this.calls.push(["connect", peers, options]);
    return peers.filter((peer) => peer.startsWith("bad")).map((peer) => ({ peer, reason: `cannot use peer '${peer}'` }));
  }
  async forget(peers: readonly string[]): Promise<void> {
    this.calls.push(["forget", peers]);
  }
  async attach(request: AttachRequest) {
    this.calls.push(["attach", request]);
    if (request.target.startsWith("bad")) {
      throw new UserError("conflict", `cannot attach container '${request.target}': it is not running`, "start it first");
    }
    if (request.target === "crash") throw new TypeError("x is not a function");
    const warnings = request.addresses
      .filter((address) => address.startsWith("10.200."))
      .map((address) => `${address} overlaps a route of the host`);
    return warnings.length === 0 ? { addresses: request.addresses } : { addresses: request.addresses, warnings };
  }
  async detach(request: DetachRequest) {
    this.calls.push(["detach", request]);
    return { addresses: request.addresses };
  }
  async expose(request: ExposeRequest) {
    this.calls.push(["expose", request]);
    return { addresses: request.addresses };
  }
  async hide(addresses: readonly string[]) {
    this.calls.push(["hide", addresses]);
    return { addresses };
  }
  async joinBridge(name: string) {
    this.calls.push(["joinBridge", name]);
    return { bridges: [name] };
  }
  async leaveBridge(name: string) {
    this.calls.push(["leaveBridge", name]);
    return { bridges: [] };
  }
  async ps(words: readonly string[]): Promise<readonly PsEntry[]> {
    this.calls.push(["ps", words]);
    return this.entries;
  }
  async leave(): Promise<void> {
    this.calls.push(["leave"]);
  }
  async removePeer(id: string, { revoke }: { readonly revoke: boolean }) {
    this.calls.push(["removePeer", id, revoke]);
    return { revoked: revoke };
  }
  async ring(): Promise<void> {
    this.calls.push(["ring"]);
  }
  async ipAllocate(query: IpQuery): Promise<string> {
    this.calls.push(["ipAllocate", query]);
    return "10.32.0.1/12";
  }
  async ipClaim(claim: IpClaim): Promise<undefined> {
    this.calls.push(["ipClaim", claim]);
    if (claim.id.startsWith("bad")) throw new UserError("conflict", "cannot claim 10.32.0.1: it is held by 'web' on this host");
    return undefined;
  }
  ipLookup(query: IpQuery): string {
    this.calls.push(["ipLookup", query]);
    return "10.32.0.1/12 10.32.0.2/12";
  }
  ipList() {
    return { owned: [{ containerid: "web", addrs: ["10.32.0.1/12"] }] };
  }
  async ipRelease(id: string, ip: string | undefined): Promise<void> {
    this.calls.push(["ipRelease", id, ip]);
  }
  defaultSubnet(): string {
    return "10.32.0.0/12";
  }
  async ping({ peer, count, sizeBytes }: PingRequest): Promise<PingResponse> {
    this.calls.push(["ping", peer, count, sizeBytes]);
    if (peer.startsWith("bad")) throw new UserError("not-found", `no peer '${peer}' is known`, "see 'weave status peers'");
    return this.pinged;
  }
  passwords(): readonly string[] {
    return this.fingerprints;
  }
  async addPassword(password: string) {
    this.calls.push(["addPassword", password]);
    return {
      changed: password !== "known",
      fingerprints: ["a1b2"],
      warnings: password === "known" ? ["it is valid already"] : [],
    };
  }
  async removePassword(password: string, options: { readonly force: boolean }) {
    this.calls.push(["removePassword", password, options]);
    return { changed: true, fingerprints: [], warnings: ["there is no password any more"] };
  }
  async reload() {
    this.calls.push(["reload"]);
    return { changed: ["log-level"], needRestart: ["mtu"], warnings: [] };
  }
  async metrics(): Promise<string> {
    return "# metrics\n";
  }
}
