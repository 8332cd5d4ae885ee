// SPDX-License-Identifier: Apache-2.0
// All tests of Compose, which is written on Docker's Python library, with a Docker daemon by itself and through the proxy: whose outcome differs, and
// why that is so. It takes about half an hour; `test/lab/proxy/transparent` runs a choice of them.
import { composeMissing, differences, makeComposeImages, type Outcomes, runComposeTests } from "../lab/proxy/compose.ts";
import { ProxyWorld } from "../lab/proxy/world.ts";

const DEADLINE_MS = 3_600_000;
/** All that speak to a daemon. */
const ALL = ["tests/integration", "tests/acceptance/cli_test.py"];

/** What is on the network has something of weave's, and these tests expect to find nothing but their own. */
const EXPLAINED: readonly (readonly [test: RegExp, why: string])[] = [
  [/test_dns_(list|no_value):/, "weave's name server is among the container's"],
  [/test_(execute_convergence_plan_recreate|run_without_command):/, "the waiter is the first word of the entry point"],
  [
    /test_execute_convergence_plan_(anonymous_volume|image_with_volume|recreate_change_mount|when_(host|image)_volume|with_image_declared)/,
    "the waiter's folder is among the mounts",
  ],
];

export async function benchSdk(only: readonly string[]): Promise<boolean> {
  const missing = composeMissing();
  if (missing !== undefined) {
    console.error(`bench: ${missing}`);
    return false;
  }
  const chosen = only.length > 0 ? only : ALL;
  await using world = await ProxyWorld.start("--no-default-ipalloc");
  await makeComposeImages(world.engine);
  const timed = async (how: string, socket: string): Promise<Outcomes> => {
    const began = performance.now();
    const outcomes = await runComposeTests(socket, chosen, DEADLINE_MS);
    const count = (kind: string): string => `${[...outcomes.values()].filter((one) => one === kind).length} ${kind}`;
    const counts = ["passed", "failed", "skipped"].map(count).join(", ");
    console.log(`${how}: ${counts}, ${((performance.now() - began) / 1000).toFixed(0)} s`);
    return outcomes;
  };
  const direct = await timed("without the proxy", world.engine.socket);
  const left = differences(direct, await timed("through it, --no-default-ipalloc", world.socket));
  await world.host.mustWeave("stop");
  await world.launch();
  const attached = differences(direct, await timed("through it, attached", world.socket));
  const whyOf = (line: string): string | undefined => EXPLAINED.find(([test]) => test.test(line))?.[1];
  for (const line of left) console.log(`--no-default-ipalloc: ${line}`);
  for (const line of attached) console.log(`attached: ${line}: ${whyOf(line) ?? "not explained"}`);
  return left.length === 0 && attached.every((line) => whyOf(line) !== undefined);
}
