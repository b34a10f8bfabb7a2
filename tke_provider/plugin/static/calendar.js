// What the scaling plans want in the days to come.
import { at } from "./api.js";
import { Message, h, when } from "./texts.js";

const { Box, Heading, Link, Text } = globalThis.ChakraUI;

const BANDS = ["blue", "teal", "purple", "orange", "pink", "cyan"];
const DAYS = 14;
const HOLDS = 0;
const UNTIL = 1;

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
      if (current >= 0 && next) return `Next size: ${next[2]} from ${when(next[HOLDS])}${next[3] ? ` (${next[3]})` : ""}`;
    }
  }
  return "";
}

export function Calendars({ state }) {
  if (state.error && !state.value) return h(Message, { status: "error" }, `The calendar cannot be drawn: ${state.error.message}`);
  return (state.value ?? []).map((plan) =>
    h(
      Box,
      { key: `${plan.dag_id} ${plan.name}`, mb: 6, as: "section", "aria-label": `Calendar of ${plan.dag_id}` },
      h(Heading, { size: "md", mb: 1, as: "h2" }, `${plan.name ?? plan.dag_id}: the next ${DAYS} days`),
      h(Text, { fontSize: "sm", mb: 2 }, "DAG ", h(Link, { href: at(`dags/${encodeURIComponent(plan.dag_id)}`), textDecoration: "underline" }, plan.dag_id)),
      plan.error && h(Message, { status: "error" }, plan.error),
      Object.entries(plan.targets ?? {}).map(([name, stretches]) => h(Timeline, { key: name, plan, name, stretches })),
      plan.targets && h(Legend, { plan }),
    ),
  );
}

const windowsOf = (plan) => [...new Set(Object.values(plan.targets).flat().map((each) => each[3]).filter(Boolean))];
const colourOf = (windows, name) => `var(--chakra-colors-${name ? BANDS[windows.indexOf(name) % BANDS.length] : "gray"}-400)`;

function Legend({ plan }) {
  const windows = windowsOf(plan);
  const box = (name) => ({ display: "inline-block", width: 12, height: 12, marginRight: 4, background: colourOf(windows, name), opacity: 0.7 });
  return h(Text, { fontSize: "xs" }, windows.map((name) => h("span", { key: name, style: { marginRight: 12 } }, h("span", { style: box(name), "aria-hidden": true }), name)));
}

/** What a plan wants of one target. */
function Timeline({ plan, name, stretches }) {
  const from = new Date(plan.start).getTime();
  const span = new Date(plan.end).getTime() - from;
  const x = (iso) => ((new Date(iso).getTime() - from) / span) * 1000;
  const windows = windowsOf(plan);
  const bands = stretches.map(([start, end, size, by]) => {
    const width = x(end) - x(start);
    const middle = { x: x(start) + width / 2, y: 26, textAnchor: "middle", fontSize: 13, fill: "currentColor" };
    const band = { x: x(start), y: 10, width, height: 24, fill: colourOf(windows, by), fillOpacity: by ? 0.55 : 0.2 };
    const title = `${size}${by ? ` by ${by}` : ""}: ${when(start)} to ${when(end)}`;
    return h("g", { key: start }, h("rect", band, h("title", null, title)), width > 24 && h("text", middle, size.split(" ")[0]));
  });
  const said = stretches.map(([start, , size, by]) => `${size} from ${when(start)}${by ? ` by ${by}` : ""}`).join("; ");
  // A picture that is narrower than its texts is scrolled, with the keyboard, too.
  return h(
    Box,
    { mb: 2, overflowX: "auto", tabIndex: 0, role: "group", "aria-label": `Sizes of ${name}` },
    h(Text, { fontSize: "sm" }, name),
    h("svg", { viewBox: "0 0 1000 54", style: { width: "100%", minWidth: "640px" }, role: "img", "aria-label": `${name}: ${said}` }, bands, h(Days, { from, span })),
  );
}

function Days({ from, span }) {
  return [...Array(DAYS + 1).keys()].map((day) => {
    const left = (day / DAYS) * 1000;
    const label = new Date(from + (day / DAYS) * span).toLocaleDateString(undefined, { day: "numeric", month: "numeric" });
    const line = { x1: left, x2: left, y1: 8, y2: 38, stroke: "currentColor", strokeOpacity: 0.3 };
    const text = { x: left, y: 50, fontSize: 12, fill: "currentColor", textAnchor: day === 0 ? "start" : day === DAYS ? "end" : "middle" };
    return h("g", { key: day }, h("line", line), day % 2 === 0 && h("text", text, label));
  });
}
