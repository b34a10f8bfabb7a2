// As much of Markdown as approvals are written in: headings, tables, code, lists, and words within a line.
import { h } from "./texts.js";

const { Box, Code, Heading, Table, Text } = globalThis.ChakraUI;

const INLINE = /(`[^`]+`|\*\*[^*]+\*\*)/;
const FENCE = /^(`{3,})/;
const ROW = /^\s*\|.*\|\s*$/;
const DASHES = /^[\s|:-]+$/;
const ITEM = /^\s*[-*] /;
const SIGNS = { "+": "green.fg", "-": "red.fg", "@": "blue.fg" };

const inline = (text) =>
  text.split(INLINE).map((part, index) => {
    if (part.startsWith("`") && part.length > 1) return h(Code, { key: index, minW: part.length > 60 ? "16rem" : undefined, overflowWrap: "anywhere", whiteSpace: "normal" }, part.slice(1, -1));
    return part.startsWith("**") && part.length > 4 ? h("strong", { key: index }, part.slice(2, -2)) : part;
  });

// A bar that is part of a cell has a backslash before it.
const cells = (line) => line.trim().slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

function Rows({ lines }) {
  const [head = [], ...rows] = lines.filter((line) => !DASHES.test(line)).map(cells);
  const cell = (kind, props) => (text, index) => h(kind, { key: index, ...props }, inline(text));
  return h(
    Box,
    { overflowX: "auto", my: 2, tabIndex: 0, role: "region", "aria-label": head.join(", ") },
    h(
      Table.Root,
      { size: "sm", variant: "line" },
      h(Table.Header, null, h(Table.Row, null, head.map(cell(Table.ColumnHeader, { scope: "col" })))),
      h(Table.Body, null, rows.map((row, index) => h(Table.Row, { key: index }, row.map(cell(Table.Cell, { minW: "9rem" }))))),
    ),
  );
}

function Block({ lines }) {
  const line = (text, index) => h("span", { key: index, style: { display: "block" } }, h(Box, { as: "span", color: SIGNS[text[0]] ?? "fg" }, text || " "));
  return h(
    Box,
    { as: "pre", my: 2, p: 3, bg: "bg.subtle", borderWidth: 1, borderRadius: "md", fontSize: "xs", overflow: "auto", maxH: "24rem", tabIndex: 0, role: "region", "aria-label": "Code" },
    lines.map(line),
  );
}

/** Return how many lines belong together, and what is drawn of them. */
function next(lines) {
  const first = lines[0];
  const run = (belongs) => (lines.findIndex((line) => !belongs(line)) + lines.length + 1) % (lines.length + 1);
  const fence = FENCE.exec(first)?.[1];
  if (fence) {
    const end = lines.findIndex((line, index) => index > 0 && line.trim() === fence);
    const last = end < 0 ? lines.length : end;
    return [last + 1, h(Block, { lines: lines.slice(1, last) })];
  }
  if (ROW.test(first)) return [run((line) => ROW.test(line)), h(Rows, { lines: lines.slice(0, run((line) => ROW.test(line))) })];
  if (ITEM.test(first)) {
    const many = run((line) => ITEM.test(line));
    const item = (line, index) => h("li", { key: index }, inline(line.replace(ITEM, "")));
    return [many, h(Box, { as: "ul", listStyleType: "disc", pl: 5, my: 2 }, lines.slice(0, many).map(item))];
  }
  const heading = /^#+ (.*)/.exec(first);
  if (heading) return [1, h(Heading, { as: "h4", size: "sm", mt: 3, mb: 1 }, inline(heading[1]))];
  return [1, first.trim() ? h(Text, { my: 1, overflowWrap: "anywhere" }, inline(first)) : null];
}

export function Markdown({ text }) {
  const drawn = [];
  for (let lines = text.split("\n"); lines.length; ) {
    const [many, element] = next(lines);
    drawn.push(element && h(Box, { key: lines.length }, element));
    lines = lines.slice(many);
  }
  return h(Box, { fontSize: "sm" }, drawn);
}
