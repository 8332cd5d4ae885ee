// SPDX-License-Identifier: Apache-2.0
// What holds for every transport, on a kernel that has all of them.
import { testInVm } from "./vm.ts";

await testInVm(
  ["test/lab/first-password.test.ts", "test/lab/sctp.test.ts", "test/lab/mixed.test.ts", "test/lab/revoked.test.ts"],
  { limitSeconds: 420 },
);
