// SPDX-License-Identifier: Apache-2.0
// What is inside the executable, as a CycloneDX 1.5 bill of materials (ECMA-424): from the lock file, and the copy of libbpf.
import lock from "../package-lock.json";

interface Locked {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
}

/** The runtime comes from the build tool, everything else from what is not for development only. */
export function componentList(version: string, libbpfVersion: string): string {
  const packages = Object.entries(lock.packages as Readonly<Record<string, Locked>>);
  const inside = packages.filter(([path, { dev, optional }]) => {
    return path === "node_modules/bun" || (path !== "" && dev !== true && optional !== true);
  });
  const components = inside.map(([path, { version: of = "", license = "" }]) => {
    const name = path.replace(/^.*node_modules\//, "");
    return {
      type: "library",
      name,
      version: of,
      purl: `pkg:npm/${name}@${of}`,
      licenses: license === "" ? [] : [{ expression: license }],
    };
  });
  components.push({
    type: "library",
    name: "libbpf",
    version: libbpfVersion,
    purl: `pkg:deb/debian/libbpf1@${libbpfVersion}`,
    licenses: [{ expression: "BSD-2-Clause" }],
  });
  const about = { type: "application", name: "weave", version, licenses: [{ expression: "Apache-2.0" }] };
  return `${JSON.stringify({ bomFormat: "CycloneDX", specVersion: "1.5", version: 1, metadata: { component: about }, components }, undefined, 2)}\n`;
}
