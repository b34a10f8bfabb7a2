// Everything that waits for a person, and the answers.
import { ask, at, runUrl, useLoaded } from "./api.js";
import { Field, read } from "./forms.js";
import { Markdown } from "./markdown.js";
import { CARD, LINK, Message, h, when } from "./texts.js";

const { Badge, Box, Button, Flex, Heading, Link, Text } = globalThis.ChakraUI;
const { useRef, useState } = globalThis.React;

const WAITING = "api/v2/dags/~/dagRuns/~/hitlDetails?response_received=false&limit=20";
const COLOURS = { Approve: "green", Reject: "red" };

export function Approvals() {
  const [state, again] = useLoaded(() => ask(WAITING), 5, []);
  const [said, setSaid] = useState("");
  const heading = useRef(null);
  const waiting = state.value?.hitl_details ?? [];
  const total = state.value?.total_entries ?? 0;
  const answered = (words) => {
    setSaid(words);
    heading.current?.focus(); // the button that was pressed is gone
    again();
  };
  return h(
    Box,
    { as: "section", "aria-label": "Waiting for a person", mb: waiting.length || said || state.error ? 6 : 0 },
    (waiting.length > 0 || said) &&
      h(
        Flex,
        { align: "center", gap: 2, mb: 2 },
        h(Heading, { as: "h2", size: "md", ref: heading, tabIndex: -1 }, "Waiting for a person"),
        h(Badge, { colorPalette: waiting.length ? "orange" : "gray" }, total),
      ),
    h(Box, { role: "status" }, said && h(Text, { fontSize: "sm", mb: 2 }, said)),
    state.error && h(Message, { status: "error" }, `What waits for a person cannot be read: ${state.error.message}`),
    waiting.map((detail) => h(Question, { key: detail.task_instance.id, detail, answered })),
    total > waiting.length && h(Text, { fontSize: "sm" }, h(Link, { href: at("required_actions"), ...LINK }, `${total - waiting.length} more`)),
  );
}

function Question({ detail, answered }) {
  const [typed, setTyped] = useState({});
  const [state, setState] = useState({});
  const task = detail.task_instance;
  const run = `api/v2/dags/${encodeURIComponent(task.dag_id)}/dagRuns/${encodeURIComponent(task.dag_run_id)}`;
  const where = `${run}/taskInstances/${encodeURIComponent(task.task_id)}/${task.map_index}/hitlDetails`;
  const fields = Object.entries(detail.params ?? {});
  const answer = (option) => async () => {
    setState({ busy: true });
    try {
      const filled = Object.fromEntries(fields.map(([name, param]) => [name, name in typed ? read(typed[name], param) : param.value]));
      await ask(where, "PATCH", { chosen_options: [option], params_input: filled });
      answered(`${option}: ${detail.subject}`);
    } catch (error) {
      setState({ error });
    }
  };
  const button = (option) => ({
    key: option,
    size: "sm",
    variant: option === "Approve" ? "solid" : "outline",
    colorPalette: COLOURS[option] ?? "gray",
    disabled: state.busy,
    onClick: answer(option),
    "aria-label": `${option}: ${detail.subject}`,
  });
  const field = ([name, param]) =>
    h(Field, { key: name, label: task.id, name, param, value: name in typed ? typed[name] : param.value, set: (text) => setTyped({ ...typed, [name]: text }) });
  return h(
    Box,
    { ...CARD, mb: 3, borderInlineStartWidth: 4, borderInlineStartColor: "orange.solid", as: "section", "aria-label": detail.subject },
    h(Heading, { as: "h3", size: "sm", overflowWrap: "anywhere" }, detail.subject),
    h(
      Text,
      { fontSize: "sm", color: "fg.muted" },
      h(Link, { href: `${runUrl(task.dag_id, task.dag_run_id)}/tasks/${encodeURIComponent(task.task_id)}`, ...LINK }, `${task.dag_id} · ${task.task_id}`),
      detail.created_at && `, asked ${when(detail.created_at)}`,
    ),
    detail.body &&
      h(Box, { as: "details", my: 2 }, h(Box, { as: "summary", cursor: "pointer", fontSize: "sm", w: "fit-content", py: 1 }, "What is asked"), h(Markdown, { text: detail.body })),
    fields.length > 0 && h(Box, { maxW: "30rem", mt: 3 }, fields.map(field)),
    h(Flex, { gap: 2, mt: 3, wrap: "wrap" }, detail.options.map((option) => h(Button, button(option), option))),
    state.error && h(Message, { status: "error" }, `Not answered: ${state.error.message}`),
  );
}
