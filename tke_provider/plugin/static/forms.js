// Starting a DAG of the user's from the board, by the form that its parameters describe.
import { ask, at, runUrl, useLoaded } from "./api.js";
import { LINK, Message, h } from "./texts.js";

const React = globalThis.React;
const { Box, Button, Flex, Input, Link, Text } = globalThis.ChakraUI;
const { useEffect, useLayoutEffect, useRef, useState } = React;

const types = (param) => [param.schema?.type ?? []].flat();
const optional = (param) => types(param).includes("null");

/** What Airflow gets for a text in a field; undefined: its own default. */
export function read(text, param) {
  const kinds = types(param);
  if (typeof text !== "string") return text;
  if (text === "") return optional(param) ? null : kinds.includes("string") ? "" : undefined;
  if (kinds.includes("integer") || kinds.includes("number")) return Number(text);
  if (kinds.includes("array") || kinds.includes("object")) return parsed(text, param);
  return text;
}

function parsed(text, param) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${param.schema.title ?? "a field"} is no JSON: ${error.message}`);
  }
}

const shown = (value) => (value == null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));

/** The native control that a parameter's schema asks for, so that the browser itself checks what is typed. */
function Control({ id, param, value, set, described }) {
  const schema = param.schema ?? {};
  const kinds = types(param);
  const same = { id, "aria-describedby": described, onChange: (event) => set(event.target.value) };
  if (kinds.includes("boolean")) {
    return h("input", { ...same, type: "checkbox", checked: value === true, onChange: (event) => set(event.target.checked) });
  }
  const box = { ...same, size: "sm", value: shown(value) };
  const required = !optional(param) && (param.value == null || schema.minLength > 0);
  if (schema.enum) {
    const choices = schema.enum.map((each) => h("option", { key: each, value: each ?? "" }, schema.values_display?.[each] ?? shown(each)));
    const { size, ...plain } = box;
    return h(Box, { as: "select", ...plain, required, ...FIELD }, value == null && h("option", { value: "" }, ""), choices);
  }
  if (schema.format === "multiline" || kinds.includes("array") || kinds.includes("object")) {
    const { size, ...plain } = box;
    return h(Box, { as: "textarea", rows: 4, ...plain, required, ...FIELD });
  }
  const number = kinds.includes("integer") || kinds.includes("number");
  const limits = number
    ? { type: "number", min: schema.minimum, max: schema.maximum, step: kinds.includes("number") ? "any" : 1 }
    : { minLength: schema.minLength, maxLength: schema.maxLength };
  const ref = (input) => input?.setCustomValidity(unlike(schema.pattern, input.value));
  return h(Input, { ...box, ...limits, ref, required, borderColor: "fg.muted", title: param.description ?? undefined });
}

/** What is wrong with a text, in words. A schema's pattern may match anywhere, that of an input only the whole. */
function unlike(pattern, text) {
  try {
    return !pattern || !text || new RegExp(pattern, "u").test(text) ? "" : `This has to match ${pattern}`;
  } catch {
    return ""; // written for Python alone; Airflow checks it
  }
}

const FIELD = { w: "100%", p: 2, fontSize: "sm", bg: "bg", color: "fg", borderWidth: 1, borderRadius: "md", borderColor: "fg.muted" };

export function Field({ label, name, param, value, set }) {
  const id = `${label}-${name}`;
  const note = param.description ?? param.schema?.description;
  return h(
    Box,
    { mb: 3 },
    h(Box, { as: "label", htmlFor: id, display: "block", fontWeight: "medium", fontSize: "sm", mb: 1 }, param.schema?.title || name),
    h(Control, { id, param, value, set, described: note ? `${id}-note` : undefined }),
    note && h(Text, { id: `${id}-note`, fontSize: "xs", color: "fg.muted", mt: 1 }, note),
  );
}

/** What a button opened: Escape closes it, and the focus goes back to the button. */
export function Opened({ onClose, children }) {
  const ref = useRef(null);
  useLayoutEffect(() => {
    const opener = document.activeElement;
    const here = ref.current;
    return () => here.contains(document.activeElement) && opener?.focus();
  }, []);
  const press = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    onClose();
  };
  return h(Box, { ref, onKeyDown: press }, children);
}

/** The form of one of several DAGs. */
export function Start({ dags, label, given, onDone }) {
  const [dagId, setDagId] = useState(dags[0].dag_id);
  const choose = (event) => setDagId(event.target.value);
  const choices = dags.map((dag) => h("option", { key: dag.dag_id, value: dag.dag_id }, dag.dag_display_name ?? dag.dag_id));
  return h(
    Opened,
    { onClose: onDone },
    dags.length > 1 &&
      h(
        Box,
        { mb: 3 },
        h(Box, { as: "label", htmlFor: `${label}-dag`, display: "block", fontWeight: "medium", fontSize: "sm", mb: 1 }, "DAG"),
        h(Box, { as: "select", id: `${label}-dag`, value: dagId, onChange: choose, ...FIELD }, choices),
      ),
    h(Form, { key: dagId, dagId, label, given, onDone }),
  );
}

function Form({ dagId, label, given, onDone }) {
  const dag = `api/v2/dags/${encodeURIComponent(dagId)}`;
  const [details] = useLoaded(() => ask(`${dag}/details`), 3600, [dagId]);
  const [typed, setTyped] = useState({});
  const [said, setSaid] = useState(null);
  const params = Object.entries(details.value?.params ?? {});
  // Whoever opened it by keyboard goes on in it.
  const ref = useRef(null);
  const about = (details.value?.description ?? details.value?.doc_md ?? "").trim().split("\n")[0];
  const ready = params.length > 0;
  useEffect(() => ref.current?.querySelector("select, input, textarea")?.focus(), [ready]);
  const value = (name, param) => (name in typed ? typed[name] : (given[name] ?? param.value));
  const start = async (event) => {
    event.preventDefault();
    setSaid({ busy: true });
    try {
      const sent = params.filter(([name]) => name in typed || given[name] !== undefined);
      const conf = Object.fromEntries(sent.map(([name, param]) => [name, read(value(name, param), param)]));
      setSaid({ run: await ask(`${dag}/dagRuns`, "POST", { conf, logical_date: null }) });
    } catch (error) {
      setSaid({ error });
    }
  };
  return h(
    Box,
    { as: "form", ref, onSubmit: start, "aria-label": label, borderWidth: 1, borderRadius: "md", bg: "bg.subtle", p: 4, my: 3, maxW: "36rem" },
    h(Text, { fontSize: "sm", mb: 3, overflowWrap: "anywhere" }, "Starts a run of ", h(Link, { href: at(`dags/${encodeURIComponent(dagId)}`), ...LINK }, dagId), about && `: ${about}`),
    details.value?.is_paused && h(Message, { status: "warning" }, `${dagId} is paused: a run waits until it is not.`),
    params.map(([name, param]) =>
      h(Field, { key: name, label, name, param, value: value(name, param), set: (text) => setTyped((before) => ({ ...before, [name]: text })) }),
    ),
    h(
      Flex,
      { gap: 2 },
      h(Button, { type: "submit", size: "sm", colorPalette: "brand", disabled: !details.value || said?.busy }, label),
      h(Button, { type: "button", size: "sm", variant: "ghost", onClick: onDone }, "Close"),
    ),
    h(Box, { role: "status" }, !details.value && !details.error && h(Text, { fontSize: "sm" }, "Reading the form …")),
    details.error && h(Message, { status: "error" }, `The form cannot be read: ${details.error.message}`),
    said?.error && h(Message, { status: "error" }, `Not started: ${said.error.message}`),
    said?.run && h(Message, { status: "success" }, "Started: ", h(Link, { href: runUrl(dagId, said.run.dag_run_id), ...LINK }, said.run.dag_run_id)),
  );
}
