// SPDX-License-Identifier: Apache-2.0
// A compiled program, imported as a file: the module is its path (inside the executable, one that only Bun can read).
declare module "*.elf" {
  const path: string;
  export default path;
}
