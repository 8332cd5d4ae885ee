// SPDX-License-Identifier: Apache-2.0
// Entry point of the sleeve's Worker: takes its setup by the first message, then runs the engine until it ends.
import { SleeveEngine } from "./host/sleeve-engine.ts";
import type { SleeveEvent, SleeveSetup } from "./host/sleeve-messages.ts";
import { errorText } from "./runtime/errors.ts";

declare const self: Worker;

function tell(event: SleeveEvent): void {
  postMessage(event);
}

self.onmessage = ({ data }: MessageEvent<SleeveSetup>) => {
  try {
    const engine = new SleeveEngine(data, tell);
    tell({ type: "ready" });
    engine.run();
    tell({ type: "over" });
  } catch (thrown) {
    tell({ type: "over", reason: errorText(thrown) });
  }
};
