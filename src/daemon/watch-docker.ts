// SPDX-License-Identifier: Apache-2.0
// What Docker tells of containers only hastens what the periodic passes would find: nothing depends on an event.
import type { ContainerEvent } from "../docker/decode.ts";
import { DockerEvents } from "../docker/events.ts";
import { systemClock } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { systemRandom } from "../runtime/random.ts";
import type { AttachmentParts } from "./attachments.ts";
import type { ProxyParts } from "./proxy.ts";

export function watchDocker(
  { docker, attacher }: AttachmentParts,
  proxy: ProxyParts | undefined,
  log: Log,
  owned: AsyncDisposableStack,
): void {
  if (!docker) return;
  const look = () =>
    void attacher.reconcile().catch((thrown: unknown) => log.error("repair failed", { reason: errorText(thrown) }));
  const handlers = {
    connected() {
      look();
      proxy?.connected();
    },
    event(event: ContainerEvent) {
      look();
      proxy?.event(event);
    },
  };
  owned.use(new DockerEvents({ client: docker, clock: systemClock, random: systemRandom, log }, handlers));
}
