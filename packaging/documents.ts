// SPDX-License-Identifier: Apache-2.0
// What a package carries beside the executable and is made from its command and option tables: manual pages, completions, weave.toml.
import type { ArgSpec } from "../src/cli/args.ts";
import type { Command } from "../src/cli/command.ts";
import { COMMANDS } from "../src/cli/commands.ts";
import { CONFIG_FILE } from "../src/config/config-file.ts";
import type { Option } from "../src/config/option.ts";
import { OPTION_KEYS, OPTIONS } from "../src/config/options.ts";

export interface Documents {
  /** troff, man(7) */
  readonly commandsPage: string;
  readonly configPage: string;
  readonly bash: string;
  readonly zsh: string;
  readonly fish: string;
  /** Every option, commented out. */
  readonly configFile: string;
}

/** @param date day of the release as YYYY-MM-DD */
export async function makeDocuments(version: string, date: string): Promise<Documents> {
  const commands = await Promise.all(Object.values(COMMANDS).map((entry) => entry.load()));
  return {
    commandsPage: commandsPage(commands, version, date),
    configPage: configPage(version, date),
    bash: bash(commands),
    zsh: zsh(commands),
    fish: fish(commands),
    configFile: configFile(),
  };
}

function options(): Option<unknown>[] {
  return OPTION_KEYS.map((key) => OPTIONS[key] as Option<unknown>);
}

function flagsOf({ args }: Command): [name: string, spec: ArgSpec][] {
  return Object.entries(args).filter(([, spec]) => spec.type !== "positional");
}

/** Text for troff: no line may begin with a control character, and a dash is a minus sign that can be copied. */
function troff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .split("\n")
    .map((line) => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join("\n");
}

/** Lines that begin with a space are examples and keep their form. */
function paragraphs(text: string): string {
  return text
    .split("\n")
    .map((line) => (line.startsWith(" ") ? `.nf\n${troff(line)}\n.fi` : troff(line)))
    .join("\n");
}

function header(name: string, section: number, version: string, date: string): string {
  return `.\\" SPDX-License-Identifier: Apache-2.0\n.TH ${name} ${section} ${date} "weave ${troff(version)}" "weave"`;
}

function commandsPage(commands: readonly Command[], version: string, date: string): string {
  const parts = commands.map((command) => {
    const usage = command.usage.map((words) => `.B weave ${troff(command.name)}\n${troff(words)}`).join("\n.br\n");
    const flags = flagsOf(command).map(([name, spec]) => {
      const value = spec.type === "boolean" ? "" : ` " ${troff(spec.valueHint ?? "VALUE")}"`;
      return `.TP\n.BI ${troff(`--${name}`)}${value}\n${troff(spec.description ?? "")}`;
    });
    const about = command.details === "" ? "" : `.PP\n${paragraphs(command.details)}\n`;
    return `.SS ${troff(command.name)}\n${usage}\n.PP\n${troff(command.summary)}\n${about}${flags.join("\n")}`;
  });
  return `${header("WEAVE", 8, version, date)}
.SH NAME
weave \\- one flat network for containers on many Linux hosts
.SH SYNOPSIS
.B weave
.I command
[flags] [arguments]
.SH DESCRIPTION
Gives containers, virtual machines and hosts one virtual Ethernet over many hosts. The kernel forwards the frames, a daemon on each host
decides where they go, and this command asks the daemon. Results go to stdout, everything else to stderr.
.SH COMMANDS
${parts.join("\n")}
.SH FILES
.TP
.I ${CONFIG_FILE}
options of the service, see
.BR weave.toml (5)
.TP
.I /var/lib/weave
the host's key, its state, and what the last launch was given
.TP
.I /run/weave/api.sock
the API; members of the group weave may use it
.SH SEE ALSO
.BR weave.toml (5),
.BR systemctl (1)
`;
}

function preset(option: Option<unknown>): string {
  if (option.defaultText !== "") return option.defaultText;
  return option.kind === "list" ? "none" : option.format(option.default).join(",");
}

function configPage(version: string, date: string): string {
  const entries = options().map(
    (option) => `.TP\n.B ${troff(option.flag)}\n${troff(option.doc)} (${KINDS[option.kind]}; default: ${troff(preset(option))})`,
  );
  return `${header("WEAVE.TOML", 5, version, date)}
.SH NAME
weave.toml \\- options of the weave service
.SH SYNOPSIS
.I ${CONFIG_FILE}
.SH DESCRIPTION
A TOML file that belongs to the administrator; weave never writes it. Each key is the name of a flag of
.B weave launch.
A value is taken from the first of these that has one: a flag of
.BR "weave daemon" ,
what the last
.B weave launch
was given, for the password the credential weave.password of the service manager (see LoadCredential= in
.BR systemd.exec (5)),
the environment, this file, the default.
.SH KEYS
.TP
.B peers
hosts to connect to, each host or host:port (list of texts; default: none). Peers that
.B weave connect
and
.B weave forget
have added and removed last until this list is changed.
${entries.join("\n")}
.SH SEE ALSO
.BR weave (8)
`;
}

const KINDS: Record<Option<unknown>["kind"], string> = {
  flag: "true or false",
  integer: "number",
  text: "text",
  list: "list of texts",
};

function configFile(): string {
  const entries = options().map((option) => `# ${option.doc}\n#${option.flag} = ${example(option)}\n`);
  return `# Options of the weave service; see weave.toml(5). What 'weave launch' was given wins over this file.
# After a change: systemctl reload weave (peers, password, trusted-subnets, log-level), or restart (frames go on meanwhile).

# hosts to connect to, each host or host:port
#peers = []

${entries.join("\n")}`;
}

/** The default as TOML; where it has no text of its own, an empty one. */
function example(option: Option<unknown>): string {
  if (option.kind === "list") return "[]";
  const [text = ""] = option.format(option.default);
  return option.kind === "text" ? JSON.stringify(text) : text;
}

function words(names: readonly string[]): string {
  return names.join(" ");
}

function bash(commands: readonly Command[]): string {
  const cases = commands.map((command) => {
    const flags = words(flagsOf(command).map(([name]) => `--${name}`));
    return `    ${command.name}) flags="${flags}" ;;`;
  });
  return `# SPDX-License-Identifier: Apache-2.0
_weave() {
  local word="\${COMP_WORDS[COMP_CWORD]}" flags=""
  COMPREPLY=()
  if [[ "$COMP_CWORD" -eq 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${words(commands.map(({ name }) => name))}" -- "$word")
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
  if [[ "$word" == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word"); fi
}
complete -o default -F _weave weave
`;
}

/** Inside single quotes, for zsh and fish. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function zsh(commands: readonly Command[]): string {
  const names = commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`);
  const cases = commands.map((command) => {
    const flags = flagsOf(command).map(([name, spec]) => {
      const about = (spec.description ?? "").replaceAll(/[[\]:\\]/g, "\\$&");
      return quoted(`--${name}[${about}]${spec.type === "boolean" ? "" : ":value:"}`);
    });
    return `    ${command.name}) _arguments ${flags.join(" ")} '*:argument:_default' ;;`;
  });
  return `#compdef weave
# SPDX-License-Identifier: Apache-2.0
_weave() {
  local -a commands=(
${names.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="\${words[2]}"
  shift words
  (( CURRENT-- ))
  case "$command" in
${cases.join("\n")}
  esac
}
_weave "$@"
`;
}

function fish(commands: readonly Command[]): string {
  const first = commands.map(
    ({ name, summary }) => `complete -c weave -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
  );
  const flags = commands.flatMap((command) =>
    flagsOf(command).map(([name, spec]) => {
      const value = spec.type === "boolean" ? "" : " -r";
      const about = quoted(spec.description ?? "");
      return `complete -c weave -n '__fish_seen_subcommand_from ${command.name}' -l ${name}${value} -d ${about}`;
    }),
  );
  return `# SPDX-License-Identifier: Apache-2.0\n${[...first, ...flags].join("\n")}\n`;
}
