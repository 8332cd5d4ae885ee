// SPDX-License-Identifier: Apache-2.0
// Golden texts of `weave ping`.
import { expect, test } from "bun:test";
import { renderPing } from "../../../../src/api/render/ping.ts";
import { HOST_A, HOST_B, pingResponse } from "../fake-backend.ts";

const HOST_C = { name: "8a:3e:3e:3e:3e:50", nickname: "hostC" };

test("a neighbour: a line for each path, and one for the control connections", () => {
  expect(renderPing(pingResponse())).toBe(`\
8a:3e:3e:3e:3e:4f(hostB): 1 hop
path    fastdp encrypted   in use       5/5 answered, rtt min/avg/max 0.21/0.25/12.3 ms, loss 0%, mtu 1410
path    sleeve encrypted   down         0/5 answered, loss 100%, no answer
control between the daemons             4/5 answered, rtt min/avg/max 0.21/0.25/12.3 ms, loss 20%
`);
});
test("the size of the probes, when it was chosen", () => {
  expect(renderPing(pingResponse({ sizeBytes: 1430 }))).toStartWith("8a:3e:3e:3e:3e:4f(hostB): 1 hop, probes of 1430 bytes\n");
});
test("a peer further away: a line for each hop", () => {
  const hop = { transport: "fastdp", encrypted: false, mtuBytes: 1430, rttMs: 0.25 } as const;
  const route = [
    { ...hop, from: HOST_A, to: HOST_B },
    { ...hop, from: HOST_B, to: HOST_C, transport: "sleeve", encrypted: true, mtuBytes: null, rttMs: null },
  ] as const;
  expect(renderPing(pingResponse({ peer: HOST_C, paths: [], route }))).toBe(`\
8a:3e:3e:3e:3e:50(hostC): 2 hops, over hostB
hop 1   nicknamington -> hostB          fastdp unencrypted, rtt 0.25 ms, mtu 1430
hop 2   hostB -> hostC                  sleeve encrypted
control between the daemons             4/5 answered, rtt min/avg/max 0.21/0.25/12.3 ms, loss 20%
`);
});
test("no route: why, and the hops that are known", () => {
  const control = { sent: 1, received: 0, loss: 1, rttMs: null };
  expect(renderPing(pingResponse({ paths: [], route: [], routeEnd: "no route for frames", control }))).toBe(`\
8a:3e:3e:3e:3e:4f(hostB): no route for frames
control between the daemons             0/1 answered, loss 100%
`);
  const [hop] = pingResponse().route;
  const text = renderPing(pingResponse({ route: hop ? [hop] : [], routeEnd: "hostB has no route" }));
  expect(text).toContain(": hostB has no route\n");
  expect(text).toContain("hop 1   nicknamington -> hostB ");
});
