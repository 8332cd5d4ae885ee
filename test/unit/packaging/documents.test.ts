// SPDX-License-Identifier: Apache-2.0
// What is made from the command and option tables is complete and can be read by those it is for.
import { expect, test } from "bun:test";
import { makeDocuments } from "../../../packaging/documents.ts";
import { componentList } from "../../../packaging/sbom.ts";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { parseConfigFile } from "../../../src/config/config-file.ts";
import { OPTION_KEYS, OPTIONS } from "../../../src/config/options.ts";

const documents = await makeDocuments("1.2.3", "2026-01-02");

test("weave.toml holds every option, and can be used as it is and with every line uncommented", () => {
  expect(parseConfigFile(documents.configFile, "weave.toml").options).toEqual({});
  const uncommented = documents.configFile.replaceAll(/^#(?=\S)/gm, "");
  expect(Object.keys(parseConfigFile(uncommented, "weave.toml").options).sort()).toEqual([...OPTION_KEYS].sort());
});

test("the pages and the completions know every command and every option", () => {
  for (const name of Object.keys(COMMANDS)) {
    expect(documents.commandsPage).toContain(`.SS ${name.replaceAll("-", "\\-")}\n`);
    for (const script of [documents.bash, documents.zsh, documents.fish]) expect(script).toContain(name);
  }
  for (const key of OPTION_KEYS) expect(documents.configPage).toContain(`.B ${OPTIONS[key].flag.replaceAll("-", "\\-")}\n`);
});

test("bash offers commands, and the flags of the one that stands there", () => {
  const offered = (line: string) => {
    const script = `${documents.bash}\nCOMP_WORDS=(${line}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _weave; echo "\${COMPREPLY[*]}"`;
    return Bun.spawnSync(["bash", "-c", script]).stdout.toString().trim();
  };
  expect(offered("weave laun")).toBe("launch");
  expect(offered("weave launch --no-f")).toBe("--no-fastdp");
  expect(offered("weave stop --no-f")).toBe("");
});

test("the bill of materials names what is compiled in, not what is only for development", () => {
  const { components } = JSON.parse(componentList("1.2.3", "1.1.2-0+deb12u1")) as {
    components: { name: string; version: string }[];
  };
  const names = components.map(({ name }) => name);
  expect(names).toContain("bun");
  expect(names).toContain("citty");
  expect(names).toContain("libbpf");
  expect(names).not.toContain("typescript");
  for (const { version } of components) expect(version).toMatch(/^\d/);
});
