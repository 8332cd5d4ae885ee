// SPDX-License-Identifier: Apache-2.0
// The executable for arm64, which nothing else here can run.
import { must } from "../support/command.ts";
import { testInVm, whyNoVm } from "./vm.ts";

if (whyNoVm("arm64") === undefined) {
  await must([process.execPath, "packaging/build.ts", "--target", "arm64"], { deadlineMs: 120_000 });
}
await testInVm(["test/vm/guest/arm64.guest.ts"], { machine: "arm64" });
