// SPDX-License-Identifier: Apache-2.0
// A shared library, imported as a file: the module is its path (inside the executable, one that only Bun can read).
declare module "*.so" {
  const path: string;
  export default path;
}
