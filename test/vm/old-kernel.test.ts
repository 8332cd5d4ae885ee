// SPDX-License-Identifier: Apache-2.0
// Debian 12's kernel, 6.1, which has no TCX: the switch by itself, and the executable on two hosts.
import { testInVm } from "./vm.ts";

await testInVm(["test/vm/guest/switch.guest.ts", "test/vm/guest/clear.guest.ts"]);
