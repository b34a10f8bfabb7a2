// The board: every service in every environment, drawn with the React and the Chakra that Airflow has loaded.
// It reads /tke/api, and acts through Airflow's public API alone, as whoever is logged in.
(() => {
  const React = globalThis.React;
  const { Alert, Badge, Box, Button, Code, Flex, Heading, Input, Link, Text } = globalThis.ChakraUI;
  const h = React.createElement;
  const { useCallback, useEffect, useState } = React;

  const HEALTH = { healthy: "green", changing: "blue", broken: "red", unknown: "gray" };
  const STAGE = { live: "green", applying: "blue", undoing: "orange", "rolled-back": "red", abandoned: "gray" };
  // A DAG says by a tag what the board may start it for.
  const TAGS = { deploy: "tke-deploy", rollback: "tke-rollback", scale: "tke-scale" };

  const at = (path) => new URL(path, document.baseURI).href;

  async function ask(path, method = "GET", body = undefined) {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    const answer = await fetch(at(path), { method, headers, body: body && JSON.stringify(body) });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      const detail = typeof said.detail === "string" ? said.detail : JSON.stringify(said.detail ?? said);
      throw new Error(answer.status === 403 ? "you may not do this" : `${answer.status}: ${detail}`);
    }
    return said;
  }

  const short = (text) => (text || "").slice(0, 12);
  const digest = (image) => short((image || "").split("sha256:")[1]) || image || "";
  const when = (iso) => (iso ? new Date(iso).toLocaleString() : "");
  const place = (each) => `${each.namespace} · ${each.cluster}`;
  const runUrl = (dagId, runId) => at(`dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}`);

  /** Newest release of each service in each environment: {service: {environment: event}}. */
  function newest(events) {
    const board = {};
    for (const event of events) {
      const row = (board[event.service] ??= {});
      row[place(event)] ??= event;
    }
    return board;
  }

  /** Load something, again every `seconds` while the page is looked at. */
  function useLoaded(load, seconds, deps) {
    const [state, set] = useState({});
    const again = useCallback(() => load().then((value) => set({ value }), (error) => set({ error })), deps);
    useEffect(() => {
      again();
      const timer = setInterval(() => document.hidden || again(), seconds * 1000);
      return () => clearInterval(timer);
    }, [again]);
    return [state, again];
  }

  function Message({ status, children }) {
    return h(Alert.Root, { status, my: 2, role: "status" }, h(Alert.Indicator), h(Alert.Title, null, children));
  }

  /** A form of the parameters of a DAG, and the button that starts it. */
  function Start({ dag, label, given, onDone }) {
    const [details] = useLoaded(() => ask(`api/v2/dags/${encodeURIComponent(dag.dag_id)}/details`), 3600, [dag.dag_id]);
    const [values, setValues] = useState(given);
    const [said, setSaid] = useState(null);
    const params = Object.entries(details.value?.params ?? {});
    const value = (name, param) => values[name] ?? param.value ?? "";
    const start = async (event) => {
      event.preventDefault();
      const typed = params.filter(([name, param]) => value(name, param) !== "");
      const conf = Object.fromEntries(typed.map(([name, param]) => [name, read(value(name, param), param)]));
      try {
        const path = `api/v2/dags/${encodeURIComponent(dag.dag_id)}/dagRuns`;
        const run = await ask(path, "POST", { conf, logical_date: null });
        setSaid({ status: "success", run });
      } catch (error) {
        setSaid({ status: "error", error });
      }
    };
    return h(
      Box,
      { as: "form", onSubmit: start, borderWidth: 1, borderRadius: "md", p: 3, my: 2, "aria-label": label },
      params.map(([name, param]) =>
        h(
          Box,
          { key: name, mb: 2 },
          h("label", { htmlFor: `${label}-${name}` }, param.schema?.title || name),
          h(Input, {
            id: `${label}-${name}`,
            size: "sm",
            value: value(name, param),
            onChange: (event) => setValues({ ...values, [name]: event.target.value }),
          }),
          param.description && h(Text, { fontSize: "xs", color: "fg.muted" }, param.description),
        ),
      ),
      h(
        Flex,
        { gap: 2 },
        h(Button, { type: "submit", size: "sm", colorPalette: "blue", disabled: !details.value }, label),
        h(Button, { type: "button", size: "sm", variant: "ghost", onClick: onDone }, "Close"),
      ),
      details.error && h(Message, { status: "error" }, details.error.message),
      said?.error && h(Message, { status: "error" }, said.error.message),
      said?.run &&
        h(
          Message,
          { status: "success" },
          "Started: ",
          h(Link, { href: runUrl(said.run.dag_id, said.run.dag_run_id) }, said.run.dag_run_id),
        ),
    );
  }

  function read(text, param) {
    const types = [param.schema?.type].flat();
    if (typeof text !== "string") return text;
    if (types.includes("integer") || types.includes("number")) return Number(text);
    if (types.includes("boolean")) return text === "true";
    return text;
  }

  function History({ live }) {
    const dora = live.dora ?? {};
    const days = (seconds) => (seconds == null ? "unknown" : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);
    const rate = dora.change_failure_rate == null ? "unknown" : `${Math.round(dora.change_failure_rate * 100)} %`;
    return h(
      Box,
      { mt: 2, fontSize: "sm" },
      h(
        Text,
        null,
        `30 days: ${(dora.deployment_frequency ?? 0).toFixed(2)} releases a day, lead time ${days(dora.lead_time)},`,
        ` ${rate} failed, restored in ${days(dora.time_to_restore)}`,
      ),
      h(Chart, { records: live.records ?? [] }),
      (live.records ?? []).map((record) =>
        h(
          Box,
          { key: record.revision, py: 1, borderTopWidth: 1 },
          h(Badge, { colorPalette: STAGE[record.stage] }, record.stage),
          ` revision ${record.revision} · ${record.strategy} · `,
          h(Code, null, short(record.commit) || "no commit"),
          ` · ${when(record.finished || record.started)}`,
          record.who && ` · ${record.who}`,
          record.approver && ` · approved by ${record.approver}`,
          record.reason && h(Text, { color: "fg.error" }, record.reason),
        ),
      ),
    );
  }

  /** One bar a release, as high as it took, in the colour of how it ended; oldest first. */
  function Chart({ records }) {
    const took = (each) => (each.finished ? (new Date(each.finished) - new Date(each.started)) / 1000 : 0);
    const shown = [...records].reverse();
    const most = Math.max(1, ...shown.map(took));
    const colour = (each) => `var(--chakra-colors-${STAGE[each.stage] ?? "gray"}-500)`;
    const bars = shown.map((each, index) => {
      const high = Math.max(3, (took(each) / most) * 40);
      const box = { x: index * 14, y: 44 - high, width: 10, height: high, fill: colour(each) };
      const title = `revision ${each.revision}: ${each.stage}, ${Math.round(took(each))} s`;
      return h("rect", { key: each.revision, ...box }, h("title", null, title));
    });
    const size = { width: Math.max(14, shown.length * 14), height: 46 };
    return h("svg", { ...size, role: "img", "aria-label": "Seconds that each release took, oldest first" }, bars);
  }

  /** One service in one environment. */
  function Cell({ event, dags }) {
    const query = new URLSearchParams({ cluster: event.cluster, namespace: event.namespace, service: event.service });
    const [state, again] = useLoaded(() => ask(`tke/api/live?${query}`), 15, [event.uri, event.revision]);
    const [open, setOpen] = useState(null);
    const live = state.value ?? {};
    const health = state.error ? "unknown" : live.health;
    const given = { cluster_id: event.cluster, namespace: event.namespace, service: event.service };
    const forms = [
      ["Roll back", dags.rollback, { ...given, revision: String(event.revision) === "1" ? "" : undefined }],
      ["Scale", dags.scale, { ...given, name: event.service, workload: event.service }],
    ].filter(([, dag]) => dag);
    const toggle = (name) => () => setOpen(open === name ? null : name);
    return h(
      Box,
      { as: "section", borderWidth: 1, borderRadius: "md", p: 3, "aria-label": `${event.service} in ${place(event)}` },
      h(
        Flex,
        { justify: "space-between", gap: 2, wrap: "wrap" },
        h(Text, { fontWeight: "semibold" }, place(event)),
        h(Badge, { colorPalette: HEALTH[health] ?? "gray" }, health ?? "asking the cluster …"),
      ),
      Object.entries(event.images ?? {}).map(([name, image]) =>
        h(Text, { key: name, fontSize: "sm", title: image }, `${name} `, h(Code, null, digest(image))),
      ),
      h(
        Text,
        { fontSize: "sm" },
        "commit ",
        h(Code, null, short(event.commit) || "unknown"),
        ` · revision ${event.revision} · `,
        h(Link, { href: runUrl(event.dag_id, event.run_id) }, when(event.at)),
      ),
      (event.who || event.approver) &&
        h(Text, { fontSize: "sm", color: "fg.muted" }, [event.who, event.approver && `approved by ${event.approver}`].filter(Boolean).join(", ")),
      live.wanted !== undefined && h(Text, { fontSize: "sm" }, `${live.ready} of ${live.wanted} replicas serve`),
      live.holder && h(Text, { fontSize: "sm" }, `Being changed by ${live.holder}`),
      health && health !== "healthy" && h(Text, { fontSize: "sm", color: "fg.error" }, state.error?.message ?? live.reason),
      (live.drift ?? []).map((each) => h(Text, { key: each, fontSize: "sm", color: "fg.warning" }, `Drift: ${each}`)),
      h(
        Flex,
        { gap: 2, mt: 2, wrap: "wrap" },
        ["History", ...forms.map(([name]) => name)].map((name) =>
          h(Button, { key: name, size: "xs", variant: "outline", onClick: toggle(name), "aria-expanded": open === name }, name),
        ),
      ),
      open === "History" && h(History, { live }),
      forms.map(
        ([name, dag, values]) =>
          open === name && h(Start, { key: name, dag, label: name, given: values, onDone: () => { setOpen(null); again(); } }),
      ),
    );
  }

  /** Everything that waits for a person, and the two answers. */
  function Approvals() {
    const path = "api/v2/dags/~/dagRuns/~/hitlDetails?response_received=false&limit=20";
    const [state, again] = useLoaded(() => ask(path), 5, []);
    const [error, setError] = useState(null);
    const answer = (detail, option) => async () => {
      const task = detail.task_instance;
      const run = `api/v2/dags/${encodeURIComponent(task.dag_id)}/dagRuns/${encodeURIComponent(task.dag_run_id)}`;
      try {
        const where = `${run}/taskInstances/${encodeURIComponent(task.task_id)}/${task.map_index}/hitlDetails`;
        await ask(where, "PATCH", { chosen_options: [option], params_input: {} });
        setError(null);
      } catch (problem) {
        setError(problem);
      }
      again();
    };
    return (state.value?.hitl_details ?? []).map((detail) => {
      const task = detail.task_instance;
      return h(
        Box,
        { key: task.id, borderWidth: 1, borderRadius: "md", p: 3, mb: 3, as: "section", "aria-label": detail.subject },
        h(Text, { fontWeight: "semibold" }, detail.subject),
        h(Link, { href: runUrl(task.dag_id, task.dag_run_id), fontSize: "sm" }, `${task.dag_id} · ${task.task_id}`),
        h(
          Flex,
          { gap: 2, mt: 2 },
          detail.options.map((option) =>
            h(Button, { key: option, size: "xs", variant: "outline", onClick: answer(detail, option) }, option),
          ),
        ),
        error && h(Message, { status: "error" }, error.message),
      );
    });
  }

  const BANDS = ["blue", "teal", "purple", "orange", "pink", "cyan"];

  /** What a plan wants of one target in the days to come. */
  function Timeline({ plan, name, stretches }) {
    const from = new Date(plan.start).getTime();
    const span = new Date(plan.end).getTime() - from;
    const x = (iso) => ((new Date(iso).getTime() - from) / span) * 1000;
    const windows = [...new Set(Object.values(plan.targets).flat().map(([, , , window]) => window).filter(Boolean))];
    const colour = (window) => `var(--chakra-colors-${window ? BANDS[windows.indexOf(window) % BANDS.length] : "gray"}-400)`;
    const bands = stretches.map(([start, end, size, window]) => {
      const width = x(end) - x(start);
      const title = `${size}${window ? ` by ${window}` : ""}: ${when(start)} to ${when(end)}`;
      const text = width > 24 && h("text", { x: x(start) + width / 2, y: 26, textAnchor: "middle", fontSize: 13, fill: "currentColor" }, size.split(" ")[0]);
      return h("g", { key: start }, h("rect", { x: x(start), y: 10, width, height: 24, fill: colour(window), fillOpacity: window ? 0.55 : 0.2 }, h("title", null, title)), text);
    });
    const days = [...Array(15).keys()].map((day) => {
      const left = (day / 14) * 1000;
      const label = new Date(from + (day / 14) * span).toLocaleDateString(undefined, { day: "numeric", month: "numeric" });
      return h("g", { key: day }, h("line", { x1: left, x2: left, y1: 8, y2: 38, stroke: "currentColor", strokeOpacity: 0.3 }), day % 2 === 0 && h("text", { x: left, y: 50, fontSize: 11, fill: "currentColor", textAnchor: day ? "middle" : "start" }, label));
    });
    const said = stretches.map(([start, , size, window]) => `${size} from ${when(start)}${window ? ` by ${window}` : ""}`).join("; ");
    return h(
      Box,
      { mb: 2 },
      h(Text, { fontSize: "sm" }, name),
      h("svg", { viewBox: "0 0 1000 54", width: "100%", role: "img", "aria-label": `${name}: ${said}` }, bands, days),
    );
  }

  function Calendar() {
    const [state] = useLoaded(() => ask("tke/api/calendars"), 300, []);
    if (state.error) return h(Message, { status: "error" }, `The calendar cannot be drawn: ${state.error.message}`);
    return (state.value ?? []).map((plan) =>
      h(
        Box,
        { key: plan.dag_id, mb: 6, as: "section" },
        h(Heading, { size: "md", mb: 2, as: "h2" }, `${plan.name ?? plan.dag_id}: the next 14 days`),
        h(Link, { href: at(`dags/${encodeURIComponent(plan.dag_id)}`), fontSize: "sm" }, plan.dag_id),
        plan.error && h(Message, { status: "error" }, plan.error),
        Object.entries(plan.targets ?? {}).map(([name, stretches]) => h(Timeline, { key: name, plan, name, stretches })),
      ),
    );
  }

  function Board({ dagId, runId }) {
    const [state, again] = useLoaded(() => ask("tke/api/releases"), 10, []);
    const [found] = useLoaded(() => ask(`api/v2/dags?limit=100&tags=${Object.values(TAGS).join("&tags=")}&tags_match_mode=any`), 60, []);
    const [deploying, setDeploying] = useState(null);
    const dags = {};
    for (const [action, tag] of Object.entries(TAGS)) {
      dags[action] = (found.value?.dags ?? []).find((dag) => dag.tags.some((each) => each.name === tag));
    }
    const ours = (event) => (!dagId || event.dag_id === dagId) && (!runId || event.run_id === runId);
    const board = Object.entries(newest((state.value ?? []).filter(ours))).sort(([a], [b]) => a.localeCompare(b));
    return h(
      Box,
      { p: { base: 3, md: 6 }, overflow: "auto", h: "100%" },
      h(
        Flex,
        { justify: "space-between", align: "center", gap: 2, mb: 4, wrap: "wrap" },
        h(Heading, { size: "xl" }, "Services"),
        dags.deploy && !dagId && h(Button, { size: "sm", onClick: () => setDeploying(!deploying) }, "Deploy a commit"),
      ),
      deploying && h(Start, { dag: dags.deploy, label: "Deploy", given: {}, onDone: () => { setDeploying(null); again(); } }),
      !dagId && h(Approvals),
      state.error && h(Message, { status: "error" }, `The releases cannot be read: ${state.error.message}`),
      !state.value && !state.error && h(Text, null, "Reading the releases …"),
      state.value && !board.length && h(Text, null, dagId ? "Nothing was released here yet." : "No service was released yet."),
      board.map(([service, environments]) =>
        h(
          Box,
          { key: service, mb: 6 },
          h(Heading, { size: "md", mb: 2, as: "h2" }, service),
          h(
            Box,
            { display: "grid", gap: 3, gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 20rem), 1fr))" },
            Object.entries(environments).map(([name, event]) => h(Cell, { key: name, event, dags })),
          ),
        ),
      ),
      !dagId && h(Calendar),
    );
  }

  globalThis["TKE services"] = Board;
  globalThis.AirflowPlugin = Board;
})();
