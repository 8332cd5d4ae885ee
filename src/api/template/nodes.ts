// SPDX-License-Identifier: Apache-2.0
// The parsed template. `at` is the offset the error messages name.

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly pipe: Pipe }
  | { readonly kind: "if" | "with"; readonly pipe: Pipe; readonly body: readonly Node[]; readonly otherwise: readonly Node[] }
  | { readonly kind: "range"; readonly pipe: Pipe; readonly body: readonly Node[]; readonly otherwise: readonly Node[] }
  | { readonly kind: "break" | "continue" };

export interface Pipe {
  /** Variables the value is stored in: none, one, or index and element of a range. */
  readonly variables: readonly string[];
  readonly declares: boolean;
  readonly commands: readonly Command[];
  readonly at: number;
  /** As written, for error messages. */
  readonly text: string;
}
export interface Command {
  readonly operands: readonly Operand[];
  readonly at: number;
  readonly text: string;
}

export type Operand = { readonly at: number; readonly text: string } & (
  | { readonly kind: "dot" }
  | { readonly kind: "nil" }
  | { readonly kind: "constant"; readonly value: string | number | bigint | boolean }
  | { readonly kind: "function"; readonly name: string }
  /** `.A.B` */
  | { readonly kind: "fields"; readonly fields: readonly string[] }
  /** `$x.A.B` */
  | { readonly kind: "variable"; readonly name: string; readonly fields: readonly string[] }
  /** `(…).A.B` */
  | { readonly kind: "pipe"; readonly pipe: Pipe; readonly fields: readonly string[] }
);
