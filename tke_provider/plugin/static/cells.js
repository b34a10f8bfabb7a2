// One service in one environment: what was released there, how it is, and what a person can do about it.
import { ask, inTurn, runUrl, useLoaded, useVisible } from "./api.js";
import { nextSize } from "./calendar.js";
import { Opened, Start } from "./forms.js";
import { History, serving } from "./history.js";
import { CARD, Facts, LINK, digest, h, short, when } from "./texts.js";

const { Badge, Box, Button, Code, Flex, Heading, Link, Text } = globalThis.ChakraUI;
const { useState } = globalThis.React;

const HEALTH = { healthy: "green", changing: "blue", broken: "red", unknown: "orange" };
const WORSE = { broken: "red.fg", unknown: "orange.fg" };
const EVERY = 15;

export const place = (each) => `${each.namespace} · ${each.cluster}`;

export function Cell({ event, dags, plans }) {
  const [ref, visible] = useVisible();
  const query = new URLSearchParams({ cluster: event.cluster, namespace: event.namespace, service: event.service });
  const [state, again] = useLoaded(() => inTurn(() => ask(`tke/api/live?${query}`)), EVERY, [event.uri, event.revision], visible);
  const [open, setOpen] = useState(null);
  const [revision, setRevision] = useState(undefined);
  const live = state.value ?? {};
  const health = state.error ? "unknown" : live.health;
  const palette = HEALTH[health] ?? "gray";
  const name = `${event.service} in ${place(event)}`;
  const forms = formsOf(event, dags, revision);
  const show = (each, number) => {
    setRevision(number);
    setOpen(each);
  };
  const close = () => show(null);
  const back = dags.rollback.length ? (number) => show("Roll back", number) : undefined;
  const wide = { gridColumn: open ? "1 / -1" : undefined };
  return h(
    Box,
    { ref, as: "section", ...CARD, ...wide, display: "flex", flexDirection: "column", borderInlineStartWidth: 4, borderInlineStartColor: `${palette}.solid`, "aria-label": name },
    h(
      Flex,
      { justify: "space-between", align: "center", gap: 2, wrap: "wrap", mb: 2 },
      h(Heading, { as: "h3", size: "sm", overflowWrap: "anywhere", minW: 0 }, event.namespace, h(Text, { as: "span", color: "fg.muted", fontWeight: "normal" }, ` · ${event.cluster}`)),
      h(Badge, { colorPalette: palette }, health ?? "asking the cluster …"),
    ),
    h(Live, { live, health, state }),
    h(Released, { event, next: nextSize(plans, event), live }),
    h(
      Flex,
      { gap: 2, mt: "auto", pt: 3, wrap: "wrap" },
      ["History", ...forms.map(([each]) => each)].map((each) => {
        const press = { onClick: () => show(open === each ? null : each), "aria-expanded": open === each, "aria-label": `${each}: ${name}` };
        return h(Button, { key: each, size: "xs", variant: open === each ? "subtle" : "outline", ...press }, each);
      }),
    ),
    forms.map(([each, found, given]) => open === each && h(Start, { key: `${each} ${revision}`, dags: found, label: each, given, onDone: () => { close(); again(); } })),
    open === "History" && h(Opened, { onClose: close }, h(History, { event, live, error: state.error, onBack: back })),
  );
}

/** How it is now; what was seen last, with its time, where nobody can say so now. */
function Live({ live, health, state }) {
  const reason = state.error?.message ?? live.reason;
  const seen = state.error ? live.wanted !== undefined && state.at : live.as_of;
  return h(
    Box,
    { fontSize: "sm", mb: 2, minH: "1.5em" },
    live.wanted !== undefined && h(Text, { fontWeight: "medium" }, `${live.ready} of ${live.wanted} replicas serve${seen ? `, as seen ${when(seen)}` : ""}`),
    health && health !== "healthy" && h(Text, { color: WORSE[health] ?? "fg.muted", overflowWrap: "anywhere" }, reason),
    (live.drift ?? []).map((each) => h(Text, { key: each, color: "orange.fg", overflowWrap: "anywhere" }, `Drift: ${each}`)),
  );
}

function Released({ event, next, live }) {
  const now = serving(live.records);
  const later = now?.revision > event.revision && `revision ${now.revision}, commit ${short(now.commit) || "unknown"}`;
  const images = Object.entries(event.images ?? {}).map(([name, image]) => h("div", { key: name, title: image }, h(Code, null, digest(image)), ` ${name}`));
  const at = when(event.at);
  const released = event.dag_id ? h(Link, { href: runUrl(event.dag_id, event.run_id), ...LINK, "aria-label": `${at}, by a run of ${event.dag_id}` }, at) : at;
  const by = [event.who && ` by ${event.who}`, event.approver && `, approved by ${event.approver}`].filter(Boolean).join("");
  return h(Facts, {
    facts: [
      ["Image", images.length > 0 && images],
      ["Commit", h(Code, { title: event.commit }, short(event.commit) || "unknown")],
      ["Revision", String(event.revision ?? "unknown")],
      ["Released", [released, by]],
      ["Next size", next],
      ["Replaced by", later],
      ["Changing now", live.holder && `${live.holder}; others wait for it`],
    ],
  });
}

/** What can be started here: name, DAGs, and what their parameters begin with. */
function formsOf(event, dags, revision) {
  const way = { tke_conn_id: event.connection, region: event.region || undefined };
  const where = { ...way, cluster_id: event.cluster, namespace: event.namespace, service: event.service };
  const image = Object.values(event.images ?? {})[0];
  return [
    ["Roll back", dags.rollback, { ...where, revision: revision && String(revision) }],
    ["Scale", dags.scale, { ...where, name: event.service }],
    ["Promote", image ? dags.promote : [], { ...where, image, commit: event.commit }],
  ].filter(([, found]) => found.length);
}
