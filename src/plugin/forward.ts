// SPDX-License-Identifier: Apache-2.0
// The whole of the managed plugin's process: Docker's requests go on to the daemon of the host, whose answer comes back. It has neither state nor rights of
// its own. What Docker asks while it switches the plugin on is answered here, so that a host boots whether its daemon runs or not.
import { BODY_LIMIT_BYTES, failure, methodOf, reply } from "./http.ts";
import { allocateNetwork } from "./network-driver.ts";
import { fieldsOf } from "./wire.ts";

const ANSWER_LIMIT_MS = 5_000;

/** Serves until the process ends. @throws {Error} the socket cannot be made */
export function forwardPlugin(listenPath: string, daemonPath: string): void {
  Bun.serve({
    unix: listenPath,
    maxRequestBodySize: BODY_LIMIT_BYTES,
    fetch: (request) => forward(request, daemonPath),
    error: (error) => failure(500, error.message),
  });
}

async function forward(request: Request, daemonPath: string): Promise<Response> {
  const method = methodOf(request.url);
  if (method === "Plugin.Activate") return reply({ Implements: ["NetworkDriver"] });
  if (method === "NetworkDriver.GetCapabilities") return reply({ Scope: "global", ConnectivityScope: "global" });
  try {
    const body = await request.text();
    // Asked of a swarm's managers, whether they run containers or not.
    if (method === "NetworkDriver.AllocateNetwork") return reply(allocateNetwork(fieldsOf(JSON.parse(body))));
    if (method === "NetworkDriver.FreeNetwork") return reply({});
    const signal = AbortSignal.timeout(ANSWER_LIMIT_MS);
    const answer = await fetch(`http://weave/${method}`, { unix: daemonPath, method: "POST", body, signal });
    return new Response(await answer.text(), { status: answer.status, headers: answer.headers });
  } catch (thrown) {
    const code = thrown instanceof Error && "code" in thrown ? ` (${String(thrown.code)})` : "";
    return failure(500, `the daemon of this host does not answer${code}; start it with 'weave launch'`);
  }
}
