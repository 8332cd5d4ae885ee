// SPDX-License-Identifier: Apache-2.0
// WireGuard, on a kernel that has it.
import { testInVm } from "./vm.ts";

await testInVm(["test/vm/guest/wireguard.guest.ts"]);
