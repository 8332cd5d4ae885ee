// SPDX-License-Identifier: Apache-2.0
// Walks the parsed template over the data. Steps and output are bounded, so a template cannot hold up the daemon.
import { entriesOf, type GoValue, isGoList, isGoMap, isGoStruct } from "../render/go-json.ts";
import { callFunction, WrongArguments } from "./functions.ts";
import type { Command, Node, Operand, Pipe } from "./nodes.ts";
import { format, isTrue, show, typeName } from "./show.ts";

/** Nodes and operands evaluated by one run, about 0.3 µs each: no template may hold up the daemon for longer than a second. All connections
 *  of a full mesh of 500 peers, printed with three fields each, need 2 million. */
const STEP_LIMIT = 3_000_000;
/** Text read or made at the price of one step. */
const CHARACTERS_PER_STEP = 32;
const OUTPUT_LIMIT_CHARACTERS = 64 * 1024 * 1024;

/** The template does not fit the data; `at` and `context` say where. */
export class TemplateExecError extends Error {
  readonly at: number;
  readonly context: string;
  constructor(message: string, place: { readonly at: number; readonly text: string }) {
    super(message);
    this.name = "TemplateExecError";
    this.at = place.at;
    this.context = place.text;
  }
}

type Flow = "on" | "break" | "continue";

export class Executor {
  readonly #data: GoValue;
  readonly #stepLimit: number;
  readonly #variables: { readonly name: string; value: GoValue }[];
  #output: string[] = [];
  #size = 0;
  #steps = 0;

  constructor(data: GoValue, stepLimit = STEP_LIMIT) {
    this.#data = data;
    this.#stepLimit = stepLimit;
    this.#variables = [{ name: "$", value: data }];
  }

  /** @throws {TemplateExecError} */
  run(nodes: readonly Node[]): string {
    this.#walk(nodes, this.#data);
    return this.#output.join("");
  }

  #walk(nodes: readonly Node[], dot: GoValue): Flow {
    for (const node of nodes) {
      const flow = this.#node(node, dot);
      if (flow !== "on") return flow;
    }
    return "on";
  }

  #node(node: Node, dot: GoValue): Flow {
    switch (node.kind) {
      case "text":
        this.#write(node.text);
        return "on";
      case "action": {
        const value = this.#pipe(node.pipe, dot);
        if (node.pipe.variables.length === 0) this.#write(show(value), node.pipe);
        return "on";
      }
      case "if":
      case "with":
        return this.#scoped(() => {
          const value = this.#pipe(node.pipe, dot);
          if (!isTrue(value)) return this.#walk(node.otherwise, dot);
          return this.#walk(node.body, node.kind === "with" ? value : dot);
        });
      case "range":
        return this.#scoped(() => this.#range(node, dot));
      case "break":
      case "continue":
        return node.kind;
      default:
        return node satisfies never;
    }
  }

  #range(node: Node & { kind: "range" }, dot: GoValue): Flow {
    const { pipe } = node;
    const value = this.#pipe(pipe, dot);
    const items = rangeItems(value);
    if (items === undefined) throw new TemplateExecError(`range can't iterate over ${format(value, {})}`, pipe);
    if (items.length === 0) return this.#walk(node.otherwise, dot);
    this.#spend(items.length, pipe);
    for (const [key, element] of items) {
      const flow = this.#scoped(() => {
        const [first, second] = pipe.variables;
        if (second !== undefined && first !== undefined) {
          this.#set(first, key, pipe);
          this.#set(second, element, pipe);
        } else if (first !== undefined) this.#set(first, element, pipe);
        return this.#walk(node.body, element);
      });
      if (flow === "break") break;
    }
    return "on";
  }

  #scoped(walk: () => Flow): Flow {
    const visible = this.#variables.length;
    const flow = walk();
    this.#variables.length = visible;
    return flow;
  }

  #set(name: string, value: GoValue, pipe: Pipe): void {
    if (pipe.declares) this.#variables.push({ name, value });
    else this.#variable(name).value = value;
  }

  #variable(name: string): { readonly name: string; value: GoValue } {
    const known = this.#variables.findLast((variable) => variable.name === name);
    if (!known) throw new Error(`undefined variable: ${name}`); // not reached: the parser has seen its declaration
    return known;
  }

  /** In a range the variables get the elements, not the list. */
  #pipe(pipe: Pipe, dot: GoValue): GoValue {
    let value: GoValue;
    let piped: readonly GoValue[] = [];
    for (const command of pipe.commands) {
      value = this.#command(command, dot, piped);
      piped = [value];
    }
    const [name, ...more] = pipe.variables;
    if (name !== undefined && more.length === 0) this.#set(name, value, pipe);
    return value;
  }

  #command(command: Command, dot: GoValue, piped: readonly GoValue[]): GoValue {
    const [first, ...rest] = command.operands;
    if (!first) return null; // not reached: the parser refuses empty commands
    if (first.kind === "function") return this.#call(first, rest, dot, piped);
    if (rest.length > 0 || piped.length > 0) {
      if (first.kind === "fields" || first.kind === "variable") {
        throw new TemplateExecError(`${first.text} is not a method but has arguments`, first);
      }
      throw new TemplateExecError(`can't give argument to non-function ${first.text}`, first);
    }
    if (first.kind === "nil") throw new TemplateExecError("nil is not a command", first);
    return this.#operand(first, dot);
  }

  #call(operand: Operand & { kind: "function" }, rest: readonly Operand[], dot: GoValue, piped: readonly GoValue[]): GoValue {
    if (operand.name === "and" || operand.name === "or") return this.#shortCircuit(operand, rest, dot, piped);
    const values = [...rest.map((argument) => this.#operand(argument, dot)), ...piped];
    for (const value of values) this.#spend(sizeOf(value), operand);
    try {
      const result = callFunction(operand.name, values);
      this.#spend(sizeOf(result), operand);
      return result;
    } catch (thrown) {
      if (thrown instanceof TemplateExecError) throw thrown;
      const words = thrown instanceof Error ? thrown.message : String(thrown);
      throw new TemplateExecError(thrown instanceof WrongArguments ? words : `error calling ${operand.name}: ${words}`, operand);
    }
  }

  #shortCircuit(
    operand: Operand & { kind: "function" },
    rest: readonly Operand[],
    dot: GoValue,
    piped: readonly GoValue[],
  ): GoValue {
    if (rest.length + piped.length === 0) {
      throw new TemplateExecError(`wrong number of args for ${operand.name}: want at least 1 got 0`, operand);
    }
    let value: GoValue = null;
    for (const argument of rest) {
      value = this.#operand(argument, dot);
      if (isTrue(value) === (operand.name === "or")) return value;
    }
    return piped.length > 0 ? piped[0] : value;
  }

  #operand(operand: Operand, dot: GoValue): GoValue {
    this.#spend(1, operand);
    switch (operand.kind) {
      case "dot":
        return dot;
      case "nil":
        return null;
      case "constant":
        return operand.value;
      case "function":
        return this.#call(operand, [], dot, []);
      case "fields":
        return follow(dot, operand);
      case "variable":
        return follow(this.#variable(operand.name).value, operand);
      case "pipe":
        return follow(this.#pipe(operand.pipe, dot), operand);
      default:
        return operand satisfies never;
    }
  }

  #write(text: string, place: { readonly at: number; readonly text: string } = { at: 0, text: "text" }): void {
    this.#spend(1 + text.length / CHARACTERS_PER_STEP, place);
    this.#size += text.length;
    if (this.#size > OUTPUT_LIMIT_CHARACTERS) throw new TemplateExecError("the output is too long", place);
    this.#output.push(text);
  }

  #spend(steps: number, place: { readonly at: number; readonly text: string }): void {
    this.#steps += steps;
    if (this.#steps > this.#stepLimit) throw new TemplateExecError("the template takes too long", place);
  }
}

/** What it costs to read a value once, in steps. Lists are only copied by `slice`, cheaply; printing them counts by their text. */
function sizeOf(value: GoValue): number {
  if (typeof value === "string") return value.length / CHARACTERS_PER_STEP;
  return isGoList(value) ? value.length / CHARACTERS_PER_STEP : 0;
}

function rangeItems(value: GoValue): readonly (readonly [GoValue, GoValue])[] | undefined {
  if (value === null) return [];
  if (isGoList(value)) return value.map((element, index) => [index, element]);
  return isGoMap(value) ? entriesOf(value) : undefined;
}

function follow(
  start: GoValue,
  place: { readonly fields: readonly string[]; readonly at: number; readonly text: string },
): GoValue {
  let value = start;
  for (const name of place.fields) {
    if (value === null) return null; // a missing key of a map, and what is below it, is no value
    if (value === undefined) throw new TemplateExecError(`nil pointer evaluating *struct.${name}`, place);
    if (isGoMap(value)) value = value.get(name) ?? null;
    else if (isGoStruct(value) && Object.hasOwn(value, name)) value = value[name];
    else throw new TemplateExecError(`can't evaluate field ${name} in type ${typeName(value)}`, place);
  }
  return value;
}
