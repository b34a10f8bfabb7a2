// What the scaling plans want in the days to come.
import { at } from "./api.js";
import { CARD, LINK, Message, day, h, when } from "./texts.js";

const { Box, Flex, Heading, Link, Text } = globalThis.ChakraUI;

const BANDS = ["blue", "teal", "purple", "orange", "pink", "cyan"];
const DAYS = 14;
const HOLDS = 0;
const UNTIL = 1;
// Percent of the picture that a number needs.
const NEEDED = 2.2;

/** The next size that a plan gives a service, in words; empty where no plan changes it. */
export function nextSize(plans, event) {
  const now = Date.now();
  for (const plan of plans) {
    for (const [name, place] of Object.entries(plan.services ?? {})) {
      const here = place.namespace === event.namespace && place.service === event.service;
      if (!here || (place.cluster && place.cluster !== event.cluster)) continue;
      const stretches = plan.targets[name] ?? [];
      const current = stretches.findIndex((each) => new Date(each[HOLDS]) <= now && now < new Date(each[UNTIL]));
      const next = stretches[current + 1];
      if (current >= 0 && next) return `${next[2]} from ${when(next[HOLDS])}${next[3] ? ` (${next[3]})` : ""}`;
    }
  }
  return "";
}

export function Calendars({ state }) {
  if (state.error && !state.value) return h(Message, { status: "error" }, `The calendar cannot be drawn: ${state.error.message}`);
  return (state.value ?? []).map((plan) =>
    h(
      Box,
      { key: `${plan.dag_id} ${plan.name}`, ...CARD, mb: 6, as: "section", "aria-label": `Calendar of ${plan.dag_id}` },
      h(
        Flex,
        { justify: "space-between", align: "baseline", gap: 3, wrap: "wrap", mb: 2 },
        h(Heading, { size: "md", as: "h2", overflowWrap: "anywhere" }, `${plan.name ?? plan.dag_id}: the next ${DAYS} days`),
        h(Text, { fontSize: "sm", color: "fg.muted" }, plan.zone && `planned in ${plan.zone}, by `, "DAG ", h(Link, { href: at(`dags/${encodeURIComponent(plan.dag_id)}`), ...LINK }, plan.dag_id)),
      ),
      plan.error && h(Message, { status: "error" }, plan.error),
      Object.entries(plan.targets ?? {}).map(([name, stretches]) => h(Timeline, { key: name, plan, name, stretches })),
      plan.targets && h(Legend, { plan }),
    ),
  );
}

const windowsOf = (plan) => [...new Set(Object.values(plan.targets).flat().map((each) => each[3]).filter(Boolean))];
const paletteOf = (windows, name) => (name ? BANDS[windows.indexOf(name) % BANDS.length] : "gray");

function Legend({ plan }) {
  const windows = windowsOf(plan);
  const sample = (name) => ({ display: "inline-block", w: 3, h: 3, borderRadius: "xs", borderWidth: 1, bg: `${paletteOf(windows, name)}.muted`, borderColor: `${paletteOf(windows, name)}.solid` });
  return h(
    Flex,
    { fontSize: "xs", gap: 4, wrap: "wrap" },
    [...windows, ""].map((name) => h(Flex, { key: name, align: "center", gap: 1.5 }, h(Box, { ...sample(name), "aria-hidden": true }), name || "usual")),
  );
}

/** What a plan wants of one target. */
function Timeline({ plan, name, stretches }) {
  const from = new Date(plan.start).getTime();
  const span = new Date(plan.end).getTime() - from;
  const percent = (iso) => ((new Date(iso).getTime() - from) / span) * 100;
  const windows = windowsOf(plan);
  const bands = stretches.map(([start, end, size, by]) => {
    const palette = paletteOf(windows, by);
    const width = percent(end) - percent(start);
    const place = { position: "absolute", top: 0, bottom: 0, left: `${percent(start)}%`, width: `${width}%`, overflow: "hidden", textAlign: "center", lineHeight: "1.75rem" };
    const title = `${size}${by ? ` by ${by}` : ""}: ${when(start)} to ${when(end)}`;
    return h(Box, { key: start, ...place, bg: `${palette}.muted`, color: `${palette}.fg`, borderInlineStartWidth: 1, borderColor: `${palette}.solid`, title }, width > NEEDED && size.split(" ")[0]);
  });
  const said = stretches.map(([start, , size, by]) => `${size} from ${when(start)}${by ? ` by ${by}` : ""}`).join("; ");
  // A picture that is wider than the screen is scrolled, with the keyboard, too.
  return h(
    Box,
    { mb: 3 },
    h(Text, { fontSize: "sm", fontWeight: "medium", mb: 1, overflowWrap: "anywhere" }, name),
    h(
      Box,
      { overflowX: "auto", tabIndex: 0, role: "group", "aria-label": `Sizes of ${name}`, p: 1 },
      h(
        Box,
        { minW: "44rem", role: "img", "aria-label": `${name}: ${said}`, fontSize: "xs" },
        h(Box, { position: "relative", h: 7, borderRadius: "sm", overflow: "hidden" }, bands),
        h(Days, { from, span }),
      ),
    ),
  );
}

function Days({ from, span }) {
  const tick = (number) =>
    h(Box, { key: number, flex: 1, minW: 0, borderInlineStartWidth: 1, ps: 1, color: "fg.muted", whiteSpace: "nowrap" }, day(from + (number / DAYS) * span));
  return h(Flex, { mt: 1 }, [...Array(DAYS).keys()].map(tick));
}
