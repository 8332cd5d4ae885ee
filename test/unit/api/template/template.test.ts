// SPDX-License-Identifier: Apache-2.0
// Templates print what Go's text/template prints for the same data, and fail with its words.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { GoValue } from "../../../../src/api/render/go-json.ts";
import { Executor } from "../../../../src/api/template/exec.ts";
import { parseTemplate } from "../../../../src/api/template/parse.ts";
import { renderTemplate } from "../../../../src/api/template/template.ts";
import { UserError } from "../../../../src/runtime/errors.ts";

const DATA: GoValue = {
  Name: "8a:3e",
  Empty: "",
  Count: 3,
  Zero: 0,
  Ratio: 0.25,
  Big: 18446744073709551361n,
  On: true,
  Off: false,
  List: ["a", "b", "c"],
  None: [],
  Nil: undefined,
  Map: new Map<string, GoValue>([
    ["zwei", 2],
    ["eins", 1],
    ["deep", new Map([["x", "y"]])],
  ]),
  Peers: [
    { Name: "p1", Addrs: ["1", "2"] },
    { Name: "p2", Addrs: [] },
  ],
  Html: `<a href="x">&'</a>`,
};
const render = (template: string, data: GoValue = DATA) => renderTemplate("report", template, data);

describe("text and trimming", () => {
  test.each([
    ["plain {text} } here", "plain {text} } here"],
    ["a {{- 1 -}} b", "a1b"],
    ["a {{-1}} b", "a -1 b"],
    ["a\n  {{- /* comment */ -}}  \nb", "ab"],
    ["a{{/* one\ntwo */}}b", "ab"],
    ["{{- 1}} {{2 -}}\n\n{{- 3}}", "1 23"],
    ["{{ `}}` }}", "}}"],
    ['{{"{{"}}', "{{"],
    ["", ""],
  ])("%j prints %j", (template, output) => expect(render(template)).toBe(output));
});

describe("values", () => {
  test.each([
    ["{{.Name}}", "8a:3e"],
    ["{{.Count}} {{.Ratio}} {{.Big}} {{.On}}", "3 0.25 18446744073709551361 true"],
    ["{{.List}} {{.None}} {{.Nil}}", "[a b c] [] <nil>"],
    ["{{.Map}}", "map[deep:map[x:y] eins:1 zwei:2]"],
    ["{{.Map.eins}} {{.Map.missing}} {{.Map.missing.below}} {{.Map.deep.x}}", "1 <no value> <no value> y"],
    ["{{.Peers}}", "[{p1 [1 2]} {p2 []}]"],
    ["{{$.Name}} {{$x := .Count}}{{$x}}", "8a:3e 3"],
    ["{{(index .Peers 0).Name}}", "p1"],
    [
      "{{1_000}} {{0x1F}} {{0b101}} {{017}} {{0o17}} {{-2}} {{1e3}} {{1.5}} {{'a'}} {{true}}",
      "1000 31 5 15 15 -2 1000 1.5 97 true",
    ],
    ['{{`raw\\n`}}{{"a\\tb\\n\\"\\x41\\u00e4\\U0001F600\\101"}}', 'raw\\na\tb\n"Aä😀A'],
  ])("%s prints %j", (template, output) => expect(render(template)).toBe(output));

  test("dot can be anything", () => {
    expect(render("{{.}}", "text")).toBe("text");
    expect(render("{{range .}}<{{.}}>{{end}}", [1, 2])).toBe("<1><2>");
  });
});

describe("control", () => {
  test.each([
    ["{{if .On}}yes{{else}}no{{end}}{{if .Off}}yes{{else}}no{{end}}", "yesno"],
    ["{{if .Zero}}a{{else if .Empty}}b{{else if .None}}c{{else}}d{{end}}", "d"],
    ["{{if .Off}}a{{else if .Count}}b{{else}}c{{end}}!", "b!"],
    ["{{if .Nil}}x{{end}}{{if .Map}}y{{end}}{{if .Peers}}z{{end}}", "yz"],
    ["{{range .List}}{{.}},{{end}}", "a,b,c,"],
    ["{{range .None}}x{{else}}nothing{{end}}", "nothing"],
    ["{{range $i, $e := .List}}{{$i}}={{$e}} {{end}}", "0=a 1=b 2=c "],
    ["{{range $e := .List}}{{$e}}{{end}}", "abc"],
    ["{{range $k, $v := .Map}}{{$k}}:{{$v}};{{end}}", "deep:map[x:y];eins:1;zwei:2;"],
    ["{{range .Peers}}{{.Name}}/{{$.Count}}:{{range .Addrs}}{{.}}{{else}}-{{end}} {{end}}", "p1/3:12 p2/3:- "],
    ["{{with .Map}}{{.eins}}{{end}}{{with .Empty}}x{{else}}none{{end}}", "1none"],
    ["{{with .Empty}}x{{else with .Name}}{{.}}{{end}}", "8a:3e"],
    ["{{with $x := .Name}}{{$x}}{{end}}", "8a:3e"],
    ["{{if $x := .Name}}{{$x}}{{else}}{{$x}}{{end}}", "8a:3e"],
    ["{{$x := 1}}{{range .List}}{{$x = .}}{{end}}{{$x}}", "c"],
    ["{{$x := 1}}{{if .On}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"],
    ["{{range $i, $e := .List}}{{if eq $i 1}}{{continue}}{{end}}{{$e}}{{end}}", "ac"],
    ['{{range .List}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}!', "a!"],
    ["{{range .Nil}}x{{else}}y{{end}}", "error"],
  ])("%s", (template, output) => {
    if (output === "error") expect(() => render(template)).toThrow("range can't iterate over <nil>");
    else expect(render(template)).toBe(output);
  });
});

describe("functions and pipes", () => {
  test.each([
    ['{{len .List}} {{len .Map}} {{len .Name}} {{len "ä"}}', "3 3 5 2"],
    ['{{index .List 1}} {{index .Map "eins"}} {{index .Peers 0 | json}}', 'b 1 {"Name":"p1","Addrs":["1","2"]}'],
    ['{{index .Map "deep" "x"}} {{index .List}}', "y [a b c]"],
    ["{{slice .List 1}} {{slice .List 0 2}} {{slice .Name 1 3}}", "[b c] [a b] a:"],
    [
      "{{json .Map}} {{json .Html}} {{json .Big}} {{.Nil | json}}",
      '{"deep":{"x":"y"},"eins":1,"zwei":2} "\\u003ca href=\\"x\\"\\u003e\\u0026\'\\u003c/a\\u003e" 18446744073709551361 null',
    ],
    ["{{html .Html}}", "&lt;a href=&#34;x&#34;&gt;&amp;&#39;&lt;/a&gt;"],
    ['{{urlquery "a b&c"}}', "a+b%26c"],
    ['{{print 1 2 "x" 3 4}}', "1 2x3 4"],
    ["{{println .Name .Count}}", "8a:3e 3\n"],
    ['{{.Name | printf "%s-%d" "x" | len}}', "19"],
    ['{{printf "%d of %d" (len .List) .Count}}', "3 of 3"],
    ["{{not .On}} {{not .Empty}}", "false true"],
    ["{{and .On .Count}} {{and .Zero .Missing}} {{or .Empty .Name}} {{or .Off .Zero}}", "3 0 8a:3e 0"],
    ['{{eq .Count 3}} {{eq .Name "x" "8a:3e"}} {{ne .Count 3}} {{eq .Big .Big}} {{eq .On true}}', "true true false true true"],
    ['{{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1 2}} {{lt 0.5 1}}', "true true true false true"],
    ["{{eq .Nil nil}}", "true"],
    ["{{if and (gt (len .List) 2) (not .Off)}}many{{end}}", "many"],
  ])("%s", (template, output) => expect(render(template)).toBe(output));

  test("and and or evaluate no further than needed", () => {
    expect(render("{{or .On (index .List 99)}} {{and .Off (index .List 99)}}")).toBe("true false");
  });
});

describe("errors have Go's form", () => {
  test.each([
    ["{{", "template: report:1: unclosed action"],
    ["{{.Name", "template: report:1: unclosed action"],
    ["a\nb{{nope}}", 'template: report:2: function "nope" not defined'],
    ["{{if}}x{{end}}", "template: report:1: missing value for if"],
    ["{{if .On}}x", "template: report:1: unexpected EOF"],
    ["{{end}}", "template: report:1: unexpected {{end}}"],
    ["{{else}}", "template: report:1: unexpected {{else}}"],
    ["{{if .On}}{{else}}{{else}}{{end}}", "template: report:1: expected end; found {{else}}"],
    ["{{$x}}", 'template: report:1: undefined variable "$x"'],
    ["{{if .On}}{{$y := 1}}{{end}}{{$y}}", 'template: report:1: undefined variable "$y"'],
    ['{{"abc}}', "template: report:1: unterminated quoted string"],
    ["{{`abc}}", "template: report:1: unterminated raw quoted string"],
    ["{{/* x}}", "template: report:1: unclosed comment"],
    ["{{(1}}", "template: report:1: unclosed left paren"],
    ["{{1)}}", "template: report:1: unexpected right paren"],
    ["{{1 | 2}}", "template: report:1: non executable command in pipeline stage 2"],
    ["{{.Name | }}", "template: report:1: missing value for command"],
    ["{{1.Name}}", 'template: report:1: bad number syntax: "1.Name"'],
    ["{{3k}}", 'template: report:1: bad number syntax: "3k"'],
    ["{{#}}", "template: report:1: unrecognized character in action: U+0023 '#'"],
    ['{{"\\q"}}', 'template: report:1: invalid syntax: "\\q"'],
    ["{{break}}", "template: report:1: {{break}} outside {{range}}"],
    ['{{define "x"}}{{end}}', "template: report:1: {{define}} is not supported here"],
  ])("%s", (template, message) => {
    expect(() => render(template)).toThrow(expect.objectContaining({ code: "bad-request", message }));
  });

  test.each([
    ["{{.Foo}}", 'template: report:1:2: executing "report" at <.Foo>: can\'t evaluate field Foo in type struct'],
    ["x\n  {{.Name.Foo}}", 'template: report:2:9: executing "report" at <.Name.Foo>: can\'t evaluate field Foo in type string'],
    ["{{.Nil.Foo}}", 'template: report:1:6: executing "report" at <.Nil.Foo>: nil pointer evaluating *struct.Foo'],
    ["{{index .List 5}}", 'template: report:1:2: executing "report" at <index>: error calling index: index out of range: 5'],
    ["{{len .Count}}", 'template: report:1:2: executing "report" at <len>: error calling len: len of type int'],
    ['{{eq 1 "1"}}', 'template: report:1:2: executing "report" at <eq>: error calling eq: incompatible types for comparison'],
    ["{{lt .List 1}}", 'template: report:1:2: executing "report" at <lt>: error calling lt: invalid type for comparison'],
    ["{{len}}", 'template: report:1:2: executing "report" at <len>: wrong number of args for len: want 1 got 0'],
    ["{{.Name 1}}", 'template: report:1:2: executing "report" at <.Name>: .Name is not a method but has arguments'],
    ["{{range .Count}}{{end}}", 'template: report:1:8: executing "report" at <.Count>: range can\'t iterate over 3'],
    ["{{nil}}", 'template: report:1:2: executing "report" at <nil>: nil is not a command'],
  ])("%s", (template, message) => {
    expect(() => render(template)).toThrow(expect.objectContaining({ code: "internal", message }));
  });
});

describe("bounds", () => {
  test("blocks inside each other", () => {
    const deep = 150;
    expect(() => render("{{if .On}}".repeat(deep) + "{{end}}".repeat(deep))).toThrow("more than 100 blocks inside each other");
    expect(() => render(`{{${"(".repeat(deep)}1${")".repeat(deep)}}}`)).toThrow("more than 100 blocks inside each other");
  });
  const limited = (template: string, data: GoValue) => new Executor(data, 10_000).run(parseTemplate(template));

  test("loops in loops end", () => {
    const many = new Array<number>(100).fill(0);
    for (const body of ["{{.}}", "", "{{$x := .}}"]) {
      const loops = `{{range .}}{{range $}}{{range $}}${body}{{end}}{{end}}{{end}}`;
      expect(() => limited(loops, many)).toThrow("takes too long");
    }
  });
  test("work that makes no output counts too", () => {
    const data = { Text: "x".repeat(100_000), List: new Array<number>(1000).fill(0) };
    for (const call of ["json $.Text", "len $.Text", 'eq $.Text "y"', "slice $.List 1", "printf `%v` $.List"]) {
      expect(() => limited(`{{range .List}}{{$x := ${call}}}{{end}}`, data)).toThrow("takes too long");
    }
  });
  test("the usual limit leaves room for every connection of a full mesh of 500 peers", () => {
    const connections = new Array<GoValue>(499).fill({ Address: "10.0.0.1:6783", Established: true });
    const data = { Peers: new Array<GoValue>(500).fill({ Name: "8a:3e:3e:3e:3e:3e", Connections: connections }) };
    const template = "{{range .Peers}}{{range .Connections}}{{.Address}} {{.Established}}\n{{end}}{{end}}";
    expect(render(template, data).length).toBeGreaterThan(4_000_000);
  });
  test("output", () => {
    const template = `{{range .}}${"x".repeat(700_000)}{{end}}`;
    expect(() => render(template, new Array<number>(100).fill(0))).toThrow("output is too long");
  });
});

test("whatever is written, the answer is text or a refusal", () => {
  const pieces =
    "{{ }} {{- -}} . $ $x := = , | ( ) .Name .List .Map .Peers .Nil if else end range with break len index printf json eq and".split(
      " ",
    );
  const piece = fc.oneof(
    fc.constantFrom(...pieces, ' "a%d" ', " `r` ", " 1 ", " -1.5 ", " ", "\n", "/*", "*/"),
    fc.string({ maxLength: 3 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 25 }), (parts) => {
      try {
        return typeof render(parts.join("")) === "string";
      } catch (thrown) {
        return thrown instanceof UserError && thrown.message.startsWith("template: report:");
      }
    }),
    { numRuns: 5_000 },
  );
});
