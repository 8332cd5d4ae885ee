// SPDX-License-Identifier: Apache-2.0
// What holds for every transport, on a kernel that has all of them.
import { testInVm } from "./vm.ts";

await testInVm(["test/lab/mixed.test.ts", "test/lab/revoked.test.ts"], { limitSeconds: 540 });
