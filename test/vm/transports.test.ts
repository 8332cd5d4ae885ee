// SPDX-License-Identifier: Apache-2.0
// What holds for every transport, with the one that only this kernel has: WireGuard.
import { testInVm } from "./vm.ts";

await testInVm(["test/lab/mixed.test.ts", "test/lab/revoked.test.ts"], { limitSeconds: 540, only: "ring|WireGuard" });
