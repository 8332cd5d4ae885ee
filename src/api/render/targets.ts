// SPDX-License-Identifier: Apache-2.0
// `weave status targets`: the targets as they were given.
import type { StatusModel } from "../status.ts";

export function renderTargets({ router }: StatusModel): string {
  return router.targets.map((target) => `${target}\n`).join("");
}
