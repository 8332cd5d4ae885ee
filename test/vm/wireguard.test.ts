// SPDX-License-Identifier: Apache-2.0
// WireGuard, on a kernel that has it: by itself, and with the executable and a password on three hosts.
import { testInVm } from "./vm.ts";

await testInVm(["test/vm/guest/wireguard.guest.ts", "test/vm/guest/encrypted.guest.ts"], { limitSeconds: 420 });
