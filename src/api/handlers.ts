// SPDX-License-Identifier: Apache-2.0
// From operation to backend and back. Handlers translate; they decide nothing.
import { UserError } from "../runtime/errors.ts";
import type { Backend } from "./backend.ts";
import { type OperationName, type RequestOf, type ResponseOf, removedPeerText } from "./contract.ts";
import { createDnsHandlers } from "./dns-handlers.ts";
import { renderConnections } from "./render/connections.ts";
import { formatGoJson } from "./render/go-json.ts";
import { renderIpam } from "./render/ipam.ts";
import { renderOverview } from "./render/overview.ts";
import { renderPeers } from "./render/peers.ts";
import { buildReport } from "./render/report.ts";
import { renderTargets } from "./render/targets.ts";
import type { StatusText } from "./route.ts";
import type { StatusModel } from "./status.ts";
import { renderTemplate } from "./template/template.ts";

export type Handlers = {
  readonly [Name in OperationName]: (request: RequestOf<Name>, signal: AbortSignal) => Promise<ResponseOf<Name>>;
};

export function createHandlers(backend: Backend): Handlers {
  const dns = createDnsHandlers(backend);
  const page = (render: (status: StatusModel) => string) => async (): Promise<StatusText> => {
    const status = backend.status();
    return { ready: status.ready, text: render(status) };
  };
  return {
    ...dns,
    statusText: page(renderOverview),
    statusConnections: page(renderConnections),
    statusPeers: page(renderPeers),
    statusTargets: page(renderTargets),
    statusIpam: page(renderIpam),
    async proxyAddresses() {
      const { proxy } = backend.status();
      if (!proxy) throw new UserError("not-found", "404 page not found: there is no Docker API proxy on this host");
      return proxy.addresses.map((address) => `${address}\n`).join("");
    },
    async report(request) {
      const report = buildReport(backend.status(), backend.dns?.names());
      if (request.as === "json") return { as: "json", text: formatGoJson(report, "    ") };
      return { as: "template", text: renderTemplate("report", request.template, report) };
    },
    metrics: () => backend.metrics(),
    async connect({ peers, replace }) {
      const refused = await backend.connect(peers, { replace });
      return refused.map(({ reason }) => reason.replaceAll(/\s*\n\s*/g, "; "));
    },
    async forget({ peers }) {
      await backend.forget(peers);
      return "";
    },
    async exposeOne({ address, masquerade }, signal) {
      await backend.expose({ addresses: [address], masquerade }, signal);
      return undefined;
    },
    async hideOne({ address }) {
      await backend.hide([address]);
      return undefined;
    },
    async leave() {
      await backend.leave();
      return undefined;
    },
    removePeer: async ({ id, revoke }) => removedPeerText(id, await backend.removePeer(id, { revoke })),
    health: async () => backend.health(),
    status: async () => backend.status(),
    attach: (request, signal) => backend.attach(request, signal),
    detach: (request, signal) => backend.detach(request, signal),
    expose: (request, signal) => backend.expose(request, signal),
    hide: ({ addresses }) => backend.hide(addresses),
    joinBridge: ({ bridge }) => backend.joinBridge(bridge),
    leaveBridge: ({ bridge }) => backend.leaveBridge(bridge),
    ps: async ({ words }) => ({ entries: await backend.ps(words) }),
    ping: (request, signal) => backend.ping(request, signal),
    ipAllocate: (query, signal) => backend.ipAllocate(query, signal),
    ipAllocateIn: (query, signal) => backend.ipAllocate(query, signal),
    ipClaim: (claim, signal) => backend.ipClaim(claim, signal),
    ipLookup: async (query) => backend.ipLookup(query),
    ipLookupIn: async (query) => backend.ipLookup(query),
    ipList: async () => backend.ipList(),
    async ipRelease({ id, ip }) {
      await backend.ipRelease(id, ip);
      return undefined;
    },
    async ipReleaseAll({ id }) {
      await backend.ipRelease(id, undefined);
      return undefined;
    },
    defaultSubnet: async () => backend.defaultSubnet(),
    async tracker() {
      backend.defaultSubnet(); // 404 without allocation, like all of its paths
      return "";
    },
    async ring(_, signal) {
      await backend.ring(signal);
      return "";
    },
    async prime(_, signal) {
      await backend.ring(signal);
      return { ready: true };
    },
    reload: () => backend.reload(),
    passwords: async () => ({ fingerprints: backend.passwords() }),
    addPassword: ({ password }) => backend.addPassword(password),
    removePassword: ({ password, force }) => backend.removePassword(password, { force }),
  };
}
