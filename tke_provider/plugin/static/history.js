// What happened to one service in one environment, and how well its team delivers.
import { Message, h, lasted, short, when } from "./texts.js";

const { Badge, Box, Button, Code, Flex, Text } = globalThis.ChakraUI;

const STAGE = { live: "green", applying: "blue", undoing: "orange", "rolled-back": "red", abandoned: "gray" };
const SHOWN = 20;

export function History({ live, error, onBack }) {
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
  return h(
    Box,
    { mt: 2, fontSize: "sm" },
    h(Text, { fontWeight: "medium" }, "30 days"),
    h(
      "dl",
      { style: { display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(7rem, 1fr))", gap: "0.25rem 0.75rem" } },
      figures.map(([name, figure]) => h("div", { key: name }, h("dt", { style: { opacity: 0.8 } }, name), h("dd", { style: { fontWeight: 600 } }, figure))),
    ),
    dora.incomplete?.length > 0 && h(Text, { fontSize: "xs", color: "fg.muted" }, "Older releases are no longer on record."),
    h(Chart, { records: live.records }),
    live.records.slice(0, SHOWN).map((record) => h(Line, { key: record.revision, record, onBack })),
  );
}

function Line({ record, onBack }) {
  return h(
    Box,
    { py: 1, borderTopWidth: 1 },
    h(Badge, { colorPalette: STAGE[record.stage] ?? "gray" }, record.stage),
    ` revision ${record.revision} · ${record.strategy} · `,
    h(Code, null, short(record.commit) || "no commit"),
    ` · ${when(record.finished || record.started)}`,
    record.restores > 0 && ` · put back ${record.restores}`,
    record.who && ` · ${record.who}`,
    record.approver && ` · approved by ${record.approver}`,
    record.reason && h(Text, { color: "fg.error", wordBreak: "break-word" }, record.reason),
    onBack &&
      record.stage === "live" &&
      h(
        Flex,
        { mt: 1 },
        h(Button, { size: "2xs", variant: "outline", onClick: () => onBack(record.revision), "aria-label": `Roll back to revision ${record.revision}` }, "Roll back to this"),
      ),
  );
}

/** One bar a release, as high as it took, in the colour of how it ended; oldest first. */
function Chart({ records }) {
  const took = (each) => (each.finished && each.started ? (new Date(each.finished) - new Date(each.started)) / 1000 : 0);
  const drawn = records.slice(0, SHOWN).reverse();
  const most = Math.max(1, ...drawn.map(took));
  const bars = drawn.map((each, index) => {
    const high = Math.max(4, (took(each) / most) * 44);
    const colour = `var(--chakra-colors-${STAGE[each.stage] ?? "gray"}-solid)`;
    const box = { x: index * 15, y: 46 - high, width: 11, height: high, fill: colour, rx: 1 };
    return h("rect", { key: each.revision, ...box }, h("title", null, `revision ${each.revision}: ${each.stage}, ${lasted(took(each))}`));
  });
  const width = SHOWN * 15;
  const picture = { viewBox: `0 0 ${width} 48`, style: { width: "100%", maxWidth: `${width}px` }, role: "img" };
  return h(
    Box,
    { my: 2 },
    h("svg", { ...picture, "aria-label": "Seconds that each release took, oldest first" }, bars),
    h(Text, { fontSize: "xs", color: "fg.muted" }, `How long each release took, oldest first; the longest ${lasted(most)}`),
  );
}
