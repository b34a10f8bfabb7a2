// What happened to one service in one environment, and how well its team delivers.
import { Changes } from "./changes.js";
import { Facts, Message, digest, h, lasted, short, when } from "./texts.js";

const { Badge, Box, Button, Code, Table, Text } = globalThis.ChakraUI;
const { useState } = globalThis.React;

const STAGE = { live: "green", applying: "blue", undoing: "orange", "rolled-back": "red", abandoned: "gray" };
const SHOWN = 20;
const COLUMNS = ["Revision", "State", "Commit", "When", "Took", "Who", "Changes", ""];

const images = (each) => Object.entries(each ?? {}).map(([name, image]) => h("div", { key: name, title: image }, h(Code, null, digest(image)), ` ${name}`));
const checks = (each) => (each ?? []).map((said, index) => h("div", { key: index }, said));

/** The newest release that was found good: what serves, unless one is going on. */
export const serving = (records) => records?.find((each) => each.stage === "live");

export function History({ event, live, error, onBack }) {
  if (!live.records) {
    return h(Message, { status: error || live.reason ? "warning" : "info" }, error?.message ?? live.reason ?? "asking the cluster …");
  }
  const dora = live.dora ?? {};
  const rate = dora.change_failure_rate == null ? "unknown" : `${Math.round(dora.change_failure_rate * 100)} %`;
  const figures = [
    ["releases a day", (dora.deployment_frequency ?? 0).toFixed(2)],
    ["lead time", lasted(dora.lead_time)],
    ["changes failed", rate],
    ["time to restore", lasted(dora.time_to_restore)],
  ];
  const tile = ([name, figure]) =>
    h(
      Box,
      { key: name, borderWidth: 1, borderRadius: "md", p: 3, display: "flex", flexDirection: "column-reverse" },
      h(Box, { as: "dt", color: "fg.muted", fontSize: "xs" }, name),
      h(Box, { as: "dd", fontWeight: "semibold", fontSize: "lg" }, figure),
    );
  return h(
    Box,
    { mt: 3, fontSize: "sm" },
    h(Text, { fontWeight: "medium", mb: 1 }, "The last 30 days"),
    h(Box, { as: "dl", display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(6.5rem, 1fr))", gap: 2 }, figures.map(tile)),
    dora.incomplete?.length > 0 && h(Text, { fontSize: "xs", color: "fg.muted", mt: 1 }, "Older releases are no longer on record."),
    h(Chart, { records: live.records }),
    h(Releases, { event, records: live.records.slice(0, SHOWN), onBack }),
  );
}

function Releases({ event, records, onBack }) {
  const now = serving(records);
  const columns = COLUMNS.slice(0, onBack ? COLUMNS.length : -1);
  const head = (name) => h(Table.ColumnHeader, { key: name, scope: "col" }, name || h("span", { style: { position: "absolute", clip: "rect(0 0 0 0)", overflow: "hidden" } }, "Way back"));
  return h(
    Box,
    { position: "relative", overflowX: "auto", tabIndex: 0, role: "region", "aria-label": "Releases", p: 1 },
    h(
      Table.Root,
      { size: "sm", variant: "line" },
      h(Table.Header, null, h(Table.Row, null, columns.map(head))),
      h(Table.Body, null, records.map((record) => h(Line, { key: record.revision, event, record, past: record.stage === "live" && record !== now, columns: columns.length, onBack }))),
    ),
  );
}

function Line({ event, record, past, columns, onBack }) {
  const [open, setOpen] = useState(false);
  const cell = (...children) => h(Table.Cell, { verticalAlign: "top" }, ...children);
  const back = onBack && record.stage === "live";
  const press = { size: "xs", variant: "outline", onClick: () => onBack(record.revision), "aria-label": `Roll back to this: revision ${record.revision}` };
  const look = { size: "xs", variant: "outline", onClick: () => setOpen(!open), "aria-expanded": open, "aria-label": `What changed: revision ${record.revision}` };
  const line = h(
    Table.Row,
    { key: "line" },
    h(Table.ColumnHeader, { scope: "row", verticalAlign: "top" }, record.revision),
    h(
      Table.Cell,
      { verticalAlign: "top", minW: record.reason ? "16rem" : undefined },
      h(Badge, { colorPalette: past ? "gray" : (STAGE[record.stage] ?? "gray") }, past ? "was live" : record.stage),
      ` ${record.strategy}`,
      record.restores > 0 && `, put back ${record.restores}`,
      record.reason && h(Text, { color: "red.fg", fontSize: "xs", mt: 1, overflowWrap: "anywhere" }, record.reason),
    ),
    cell(h(Code, null, short(record.commit) || "no commit")),
    cell(h("span", { style: { whiteSpace: "nowrap" } }, when(record.finished || record.started))),
    cell(record.duration == null ? "" : h("span", { style: { whiteSpace: "nowrap" } }, lasted(record.duration))),
    cell(record.who, record.approver && h(Text, { fontSize: "xs", color: "fg.muted", whiteSpace: "nowrap" }, `approved by ${record.approver}`)),
    cell(record.changes && h(Text, { fontSize: "xs", mb: 1 }, record.changes), record.changes && h(Button, look, "What changed")),
    onBack && cell(back && h(Button, press, "Roll back to this")),
  );
  const facts = [["Images", images(record.images)], ["Served before", images(record.way_back)], ["Checked", checks(record.checks)]].filter(([, each]) => each.length);
  const changes = h(Table.Row, { key: "changes" }, h(Table.Cell, { colSpan: columns }, h(Facts, { facts }), h(Changes, { event, revision: record.revision })));
  return [line, open && changes];
}

/** One bar a release, as high as it took, in the colour of how it ended; oldest first. The table says the same. */
function Chart({ records }) {
  const drawn = records.slice(0, SHOWN).reverse();
  const most = Math.max(1, ...drawn.map((each) => each.duration));
  const bars = drawn.map((each, index) => {
    const high = Math.max(4, (each.duration / most) * 44);
    const colour = `var(--chakra-colors-${STAGE[each.stage] ?? "gray"}-fg)`;
    const box = { x: index * 15, y: 46 - high, width: 11, height: high, fill: colour, rx: 1 };
    return h("rect", { key: each.revision, ...box }, h("title", null, `revision ${each.revision}: ${each.stage}, ${lasted(each.duration)}`));
  });
  const width = SHOWN * 15;
  const picture = { viewBox: `0 0 ${width} 48`, style: { width: "100%", maxWidth: `${width}px` }, role: "img" };
  return h(
    Box,
    { my: 3 },
    h("svg", { ...picture, "aria-label": "Seconds that each release took, oldest first" }, bars),
    h(Text, { fontSize: "xs", color: "fg.muted" }, `How long each release took, oldest first; the longest ${lasted(most)}`),
  );
}
