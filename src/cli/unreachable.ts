// SPDX-License-Identifier: Apache-2.0
// What to say when no daemon answers.
import type { Unreachable } from "../api/client.ts";
import { API_GROUP } from "../api/listen.ts";

/** Message and hint. */
export function unreachableWords({ why, where }: Unreachable): readonly [string, string] {
  switch (why) {
    case "absent":
      return [`weave is not running on this host: nothing answers on ${where}`, "start it with 'weave launch'"];
    case "denied":
      return [`no permission to use ${where}`, `run as root, or as a member of the group '${API_GROUP}'`];
    case "silent":
      return [
        `the daemon does not answer on ${where}`,
        "see 'journalctl -u weave' or /run/weave/daemon.log; 'weave stop' ends it",
      ];
    default:
      return why satisfies never;
  }
}
