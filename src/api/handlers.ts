// SPDX-License-Identifier: Apache-2.0
// From operation to backend and back. Handlers translate; they decide nothing.
import type { Backend } from "./backend.ts";
import { type OperationName, type RequestOf, type ResponseOf, removedPeerText } from "./contract.ts";
import { createDnsHandlers } from "./dns-handlers.ts";
import { renderConnections } from "./render/connections.ts";
import { formatGoJson } from "./render/go-json.ts";
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
    async exposeOne({ address, masquerade }) {
      await backend.expose({ addresses: [address], masquerade });
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
    expose: (request) => backend.expose(request),
    hide: ({ addresses }) => backend.hide(addresses),
    ps: async ({ words }) => ({ entries: await backend.ps(words) }),
    ping: (request, signal) => backend.ping(request, signal),
    passwords: async () => ({ fingerprints: backend.passwords() }),
    addPassword: ({ password }) => backend.addPassword(password),
    removePassword: ({ password, force }) => backend.removePassword(password, { force }),
  };
}
