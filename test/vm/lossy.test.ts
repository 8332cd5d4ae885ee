// SPDX-License-Identifier: Apache-2.0
// What takes netem: a line that loses and reorders packets.
import { testInVm } from "./vm.ts";

await testInVm(["test/vm/guest/lossy.guest.ts"]);
