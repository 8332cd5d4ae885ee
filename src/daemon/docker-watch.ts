// SPDX-License-Identifier: Apache-2.0
// Docker's events and what they hasten. Nothing depends on one: periodic passes find the same.
import { DockerEvents } from "../docker/events.ts";
import { every, systemClock } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { systemRandom } from "../runtime/random.ts";
import type { AttachmentParts } from "./attachments.ts";
import type { DockerPlugin } from "./plugin.ts";

/** What the plugins have is compared with what Docker has. */
const PLUGIN_MS = 60_000;

export function watchDocker(
  { docker, attacher }: AttachmentParts,
  plugin: DockerPlugin | undefined,
  log: Log,
  owned: AsyncDisposableStack,
): void {
  if (!docker) return;
  const failed = (thrown: unknown) => log.error("repair failed", { reason: errorText(thrown) });
  const look = () => void attacher.reconcile().catch(failed);
  owned.use(
    new DockerEvents(
      { client: docker, clock: systemClock, random: systemRandom, log },
      {
        connected() {
          look();
          plugin?.connected();
        },
        event(event) {
          if (event.action !== "create") look();
          plugin?.event(event);
        },
      },
    ),
  );
  if (plugin) owned.use(every(systemClock, PLUGIN_MS, () => void plugin.look().catch(failed)));
}
