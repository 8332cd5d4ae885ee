// SPDX-License-Identifier: Apache-2.0
// A password, and a kernel that has WireGuard: the executable on three hosts.
import { testInVm } from "./vm.ts";

await testInVm(["test/vm/guest/encrypted.guest.ts"]);
