// SPDX-License-Identifier: Apache-2.0
// Announcing is a courtesy that makes others right at once instead of after seconds. It must not undo an attachment that is otherwise complete.
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

export function announceOrWarn(log: Log, link: string, announcing: () => void): void {
  try {
    announcing();
  } catch (thrown) {
    log.warn("addresses could not be announced", { link, reason: errorText(thrown) });
  }
}
