// SPDX-License-Identifier: Apache-2.0
// What Docker tells of containers only hastens what the periodic passes would find: nothing depends on an event.
import type { ContainerEvent } from "../docker/decode.ts";
import { DockerEvents } from "../docker/events.ts";
import { Stranded } from "../docker/stranded.ts";
import { every, systemClock } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { systemRandom } from "../runtime/random.ts";
import type { AttachmentParts } from "./attachments.ts";
import type { KnownContainers } from "./known-containers.ts";
import type { DockerPlugin } from "./plugin.ts";
import type { ProxyParts } from "./proxy.ts";

/** After a container's end Docker and the kernel take its network apart, under the lock that every change of links needs. A moment later the link has gone
 *  with its namespace, and there is nothing left but our records; at once we would only make them wait. Whoever starts it again meanwhile attaches anew. */
const ENDED_MS = 300;
/** What the plugins have is compared with what Docker has, and what could not start is tried again. */
const PLUGIN_MS = 60_000;

export function watchDocker(
  { docker, attacher }: AttachmentParts,
  parts: { readonly known: KnownContainers; readonly proxy: ProxyParts | undefined; readonly plugin: DockerPlugin | undefined },
  log: Log,
  owned: AsyncDisposableStack,
): void {
  if (!docker) return;
  const { known, proxy, plugin } = parts;
  const failed = (thrown: unknown) => log.error("repair failed", { reason: errorText(thrown) });
  const look = () => void attacher.reconcile().catch(failed);
  let lookSoon: Disposable | undefined;
  owned.defer(() => lookSoon?.[Symbol.dispose]());
  const stranded = plugin && new Stranded(docker, log);
  const handlers = {
    connected() {
      void known.look(docker).catch(failed);
      look();
      proxy?.connected();
      plugin?.connected();
      void stranded?.start().catch(failed);
    },
    event(event: ContainerEvent) {
      known.event(event);
      plugin?.event(event);
      if (event.action === "create") return;
      if (event.action !== "start") {
        lookSoon ??= systemClock.after(ENDED_MS, () => {
          lookSoon = undefined;
          look();
        });
      }
      proxy?.event(event);
    },
  };
  owned.use(new DockerEvents({ client: docker, clock: systemClock, random: systemRandom, log }, handlers));
  if (!plugin || !stranded) return;
  const compare = async (): Promise<void> => {
    await plugin.look();
    await stranded.start();
  };
  owned.use(every(systemClock, PLUGIN_MS, () => void compare().catch(failed)));
}
