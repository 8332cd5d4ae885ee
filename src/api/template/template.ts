// SPDX-License-Identifier: Apache-2.0
// Go text/template, as far as `weave report -f` needs it: fields, variables, pipelines, if, with, range, and the functions of `functions.ts`.
// Messages have Go's form, `template: name:line: …`.
import { UserError } from "../../runtime/errors.ts";
import type { GoValue } from "../render/go-json.ts";
import { Executor, TemplateExecError } from "./exec.ts";
import { TemplateSyntaxError } from "./lex.ts";
import { parseTemplate } from "./parse.ts";

/** @throws {UserError} bad-request: the template cannot be read; internal: it does not fit the data */
export function renderTemplate(name: string, source: string, data: GoValue): string {
  try {
    return new Executor(data).run(parseTemplate(source));
  } catch (thrown) {
    if (thrown instanceof TemplateSyntaxError) {
      throw new UserError("bad-request", `template: ${name}:${placeOf(source, thrown.at).line}: ${thrown.message}`);
    }
    if (!(thrown instanceof TemplateExecError)) throw thrown;
    const { line, column } = placeOf(source, thrown.at);
    const context = thrown.context.length > 20 ? `${thrown.context.slice(0, 20)}...` : thrown.context;
    const where = `template: ${name}:${line}:${column}: executing ${JSON.stringify(name)} at <${context}>`;
    throw new UserError("internal", `${where}: ${thrown.message}`);
  }
}

function placeOf(source: string, at: number): { readonly line: number; readonly column: number } {
  const before = source.slice(0, at);
  const newline = before.lastIndexOf("\n");
  return { line: before.split("\n").length, column: at - newline - 1 };
}
