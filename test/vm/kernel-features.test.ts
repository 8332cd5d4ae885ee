// SPDX-License-Identifier: Apache-2.0
// What takes WireGuard, SCTP or netem in the kernel, each by itself.
import { testInVm } from "./vm.ts";

const FILES = ["test/lab/first-password.test.ts", "test/lab/sctp.test.ts", "test/vm/guest/lossy.guest.ts"];
await testInVm(FILES, { limitSeconds: 420 });
