// One service in one environment: what was released there, how it is, and what a person can do about it.
import { ask, inTurn, runUrl, useLoaded, useVisible } from "./api.js";
import { nextSize } from "./calendar.js";
import { Start } from "./forms.js";
import { History } from "./history.js";
import { digest, h, short, when } from "./texts.js";

const { Badge, Box, Button, Code, Flex, Link, Text } = globalThis.ChakraUI;
const { useState } = globalThis.React;

const HEALTH = { healthy: "green", changing: "blue", broken: "red", unknown: "gray" };
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
  const name = `${event.service} in ${place(event)}`;
  return h(
    Box,
    { ref, as: "section", borderWidth: 1, borderRadius: "md", p: 3, minW: 0, "aria-label": name },
    h(
      Flex,
      { justify: "space-between", gap: 2, wrap: "wrap" },
      h(Text, { fontWeight: "semibold" }, place(event)),
      h(Badge, { colorPalette: HEALTH[health] ?? "gray" }, health ?? "asking the cluster …"),
    ),
    h(Released, { event }),
    h(Live, { event, live, health, error: state.error, plans }),
    h(Actions, {
      event,
      dags,
      open,
      revision,
      name,
      toggle: (each) => {
        setRevision(undefined);
        setOpen(open === each ? null : each);
      },
      done: () => {
        setOpen(null);
        again();
      },
    }),
    open === "History" &&
      h(History, {
        live,
        error: state.error,
        onBack: dags.rollback.length
          ? (number) => {
              setRevision(number);
              setOpen("Roll back");
            }
          : undefined,
      }),
  );
}

function Released({ event }) {
  const people = [event.who, event.approver && `approved by ${event.approver}`].filter(Boolean).join(", ");
  return h(
    Box,
    { fontSize: "sm" },
    Object.entries(event.images ?? {}).map(([name, image]) => h(Text, { key: name, title: image, wordBreak: "break-word" }, `${name} `, h(Code, null, digest(image)))),
    h(
      Text,
      null,
      "commit ",
      h(Code, { title: event.commit }, short(event.commit) || "unknown"),
      ` · revision ${event.revision ?? "unknown"} · `,
      event.dag_id ? h(Link, { href: runUrl(event.dag_id, event.run_id), textDecoration: "underline" }, when(event.at)) : when(event.at),
    ),
    people && h(Text, { color: "fg.muted" }, people),
  );
}

function Live({ event, live, health, error, plans }) {
  const next = nextSize(plans, event);
  return h(
    Box,
    { fontSize: "sm" },
    live.wanted !== undefined && h(Text, null, `${live.ready} of ${live.wanted} replicas serve`),
    next && h(Text, null, next),
    live.holder && h(Text, { wordBreak: "break-word" }, `Being changed by ${live.holder}`),
    health && health !== "healthy" && h(Text, { color: health === "broken" ? "fg.error" : "fg.muted" }, error?.message ?? live.reason),
    (live.drift ?? []).map((each) => h(Text, { key: each, color: "fg.warning" }, `Drift: ${each}`)),
  );
}

/** The buttons, and the form that one of them opened. */
function Actions({ event, dags, open, revision, name, toggle, done }) {
  const where = { cluster_id: event.cluster, namespace: event.namespace, service: event.service };
  const image = Object.values(event.images ?? {})[0];
  const forms = [
    ["Roll back", dags.rollback, { ...where, revision: revision && String(revision) }],
    ["Scale", dags.scale, { ...where, name: event.service }],
    ["Promote", image ? dags.promote : [], { ...where, image, commit: event.commit }],
  ].filter(([, found]) => found.length);
  const button = (each) => ({ key: each, size: "xs", variant: "outline", onClick: () => toggle(each), "aria-expanded": open === each });
  return h(
    Box,
    null,
    h(
      Flex,
      { gap: 2, mt: 2, wrap: "wrap" },
      ["History", ...forms.map(([each]) => each)].map((each) => h(Button, { ...button(each), title: `${each}: ${name}` }, each)),
    ),
    forms.map(([each, found, given]) => open === each && h(Start, { key: `${each} ${revision}`, dags: found, label: each, given, onDone: done })),
  );
}
