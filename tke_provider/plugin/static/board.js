// The board: every service in every environment, drawn with the React and the Chakra that Airflow has loaded.
// It reads /tke/api, and acts through Airflow's public API alone, as whoever is logged in.
import { ask, useLoaded } from "./api.js";
import { Approvals } from "./approvals.js";
import { Calendars } from "./calendar.js";
import { Cell, place } from "./cells.js";
import { Start } from "./forms.js";
import { CARD, Message, h, when } from "./texts.js";

const { Box, Button, Flex, Heading, Input, Text } = globalThis.ChakraUI;
const { useState } = globalThis.React;

// A DAG says by a tag what the board may start it for.
const TAGS = { deploy: "tke-deploy", rollback: "tke-rollback", scale: "tke-scale", promote: "tke-promote" };
const TAGGED = `api/v2/dags?limit=100&tags=${Object.values(TAGS).join("&tags=")}&tags_match_mode=any`;
// Fewer are seen at a glance.
const MANY = 6;

/** Newest release of each service in each environment, by service and environment. */
function newest(events) {
  const board = {};
  for (const event of events) {
    const row = (board[event.service] ??= {});
    row[place(event)] ??= event;
  }
  return Object.entries(board).sort(([a], [b]) => a.localeCompare(b));
}

const said = (event) => [event.service, place(event), event.commit, event.who, event.approver, ...Object.values(event.images ?? {})].join(" ").toLowerCase();
const matches = (event, words) => words.every((word) => said(event).includes(word));

function tagged(dags) {
  const having = (tag) => dags.filter((dag) => dag.tags.some((each) => each.name === tag));
  return Object.fromEntries(Object.entries(TAGS).map(([action, tag]) => [action, having(tag)]));
}

function Board({ dagId, runId, taskId }) {
  const query = new URLSearchParams({ dag_id: dagId ?? "", run_id: runId ?? "", task_id: taskId ?? "" });
  const [state, again] = useLoaded(() => ask(`tke/api/releases?${query}`), 10, [dagId, runId, taskId]);
  const [found] = useLoaded(() => ask(TAGGED), 60, []);
  const [plans] = useLoaded(() => ask("tke/api/calendars"), 300, []);
  const [deploying, setDeploying] = useState(false);
  const [filter, setFilter] = useState("");
  const dags = tagged(found.value?.dags ?? []);
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const all = newest(state.value ?? []);
  const shown = newest((state.value ?? []).filter((event) => matches(event, words)));
  const whole = !dagId;
  return h(
    Box,
    { p: { base: 3, md: 6 }, overflow: "auto", h: "100%" },
    h(
      Flex,
      { justify: "space-between", align: "center", gap: 3, mb: 4, wrap: "wrap" },
      h(Heading, { size: "xl", as: "h1" }, titleOf(dagId, runId, taskId)),
      all.length > MANY && h(Search, { filter, setFilter, shown: shown.length, all: all.length }),
      whole && dags.deploy.length > 0 && h(Button, { size: "sm", colorPalette: "brand", onClick: () => setDeploying(!deploying), "aria-expanded": deploying }, "Deploy a commit"),
    ),
    deploying && h(Start, { dags: dags.deploy, label: "Deploy", given: {}, onDone: () => { setDeploying(false); again(); } }),
    whole && h(Approvals),
    state.error && h(Message, { status: "error" }, `The releases cannot be read: ${state.error.message}${state.value ? `; below is what was read ${when(state.at)}` : ""}`),
    !state.value && !state.error && h(Text, { role: "status" }, "Reading the releases …"),
    state.value && !all.length && h(Empty, { whole }),
    all.length > 0 && !shown.length && h(Text, { role: "status" }, `Nothing is like “${filter}”.`),
    shown.map(([service, environments]) => h(Service, { key: service, service, environments, dags, plans: plans.value ?? [] })),
    whole && h(Calendars, { state: plans }),
  );
}

function titleOf(dagId, runId, taskId) {
  if (taskId) return `Services that ${taskId} released`;
  if (runId) return "Services that this run released";
  return dagId ? `Services that ${dagId} released` : "Services";
}

function Empty({ whole }) {
  return h(
    Box,
    { ...CARD, p: 8, textAlign: "center", mb: 6 },
    h(Text, { fontWeight: "medium" }, whole ? "No service was released yet." : "Nothing was released here yet."),
    h(Text, { fontSize: "sm", color: "fg.muted" }, "A service appears as soon as a deploy of this provider has succeeded."),
  );
}

function Search({ filter, setFilter, shown, all }) {
  const field = { type: "search", size: "sm", borderColor: "fg.muted", value: filter, placeholder: "service, namespace, commit …" };
  return h(
    Flex,
    { align: "center", gap: 2, flex: "1 1 14rem", maxW: "26rem" },
    h(Input, { ...field, "aria-label": "Show only services like", onChange: (event) => setFilter(event.target.value) }),
    h(Text, { fontSize: "sm", color: "fg.muted", whiteSpace: "nowrap", "aria-live": "polite" }, `${shown} of ${all}`),
  );
}

function Service({ service, environments, dags, plans }) {
  const grid = { display: "grid", gap: 3, alignItems: "stretch", gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 20rem), 1fr))" };
  return h(
    Box,
    { mb: 6 },
    h(Heading, { size: "md", mb: 2, as: "h2", overflowWrap: "anywhere" }, service),
    h(Box, grid, Object.entries(environments).sort(([a], [b]) => a.localeCompare(b)).map(([name, event]) => h(Cell, { key: name, event, dags, plans }))),
  );
}

globalThis["TKE services"] = Board;
globalThis.AirflowPlugin = Board;
