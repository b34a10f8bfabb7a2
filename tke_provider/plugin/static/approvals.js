// Everything that waits for a person, and the answers.
import { ask, runUrl, useLoaded } from "./api.js";
import { Message, h } from "./texts.js";

const { Box, Button, Flex, Link, Text } = globalThis.ChakraUI;
const { useState } = globalThis.React;

const WAITING = "api/v2/dags/~/dagRuns/~/hitlDetails?response_received=false&limit=20";

export function Approvals() {
  const [state, again] = useLoaded(() => ask(WAITING), 5, []);
  return (state.value?.hitl_details ?? []).map((detail) => h(Question, { key: detail.task_instance.id, detail, again }));
}

function Question({ detail, again }) {
  const [said, setSaid] = useState({});
  const task = detail.task_instance;
  const run = `api/v2/dags/${encodeURIComponent(task.dag_id)}/dagRuns/${encodeURIComponent(task.dag_run_id)}`;
  const where = `${run}/taskInstances/${encodeURIComponent(task.task_id)}/${task.map_index}/hitlDetails`;
  const answer = (option) => async () => {
    setSaid({ busy: true });
    try {
      await ask(where, "PATCH", { chosen_options: [option], params_input: {} });
      setSaid({});
    } catch (error) {
      setSaid({ error });
    }
    again();
  };
  const asks = Object.keys(detail.params ?? {}).length > 0;
  const button = (option) => ({ key: option, size: "xs", variant: "outline", disabled: said.busy, onClick: answer(option), title: `${option}: ${detail.subject}` });
  return h(
    Box,
    { borderWidth: 1, borderRadius: "md", p: 3, mb: 3, as: "section", "aria-label": detail.subject },
    h(Text, { fontWeight: "semibold", wordBreak: "break-word" }, detail.subject),
    h(Link, { href: `${runUrl(task.dag_id, task.dag_run_id)}/tasks/${encodeURIComponent(task.task_id)}`, fontSize: "sm", textDecoration: "underline" }, `${task.dag_id} · ${task.task_id}`),
    detail.body && h("details", null, h("summary", null, "What is asked"), h(Box, { as: "pre", fontSize: "xs", whiteSpace: "pre-wrap", wordBreak: "break-word" }, detail.body)),
    asks
      ? h(Text, { fontSize: "sm" }, "It asks for values: answer it on its own page.")
      : h(Flex, { gap: 2, mt: 2 }, detail.options.map((option) => h(Button, button(option), option))),
    said.error && h(Message, { status: "error" }, said.error.message),
  );
}
