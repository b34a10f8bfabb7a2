// Speaking to Airflow: as whoever is logged in, patiently, and not while nobody looks.
const React = globalThis.React;
const { useCallback, useEffect, useRef, useState } = React;

export const at = (path) => new URL(path, document.baseURI).href;
export const runUrl = (dagId, runId) => at(`dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}`);

const WORDS = {
  401: "you are no longer logged in; reload the page",
  403: "you may not do this",
  404: "it is not there any more",
};

/** Ask Airflow; an error's message is for people. */
export async function ask(path, method = "GET", body = undefined) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const request = { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(20000) };
  const answer = await fetch(at(path), request).catch(() => {
    throw new Error("Airflow does not answer");
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(WORDS[answer.status] ?? `${answer.status}: ${explained(said.detail ?? said)}`);
  return said;
}

function explained(detail) {
  // After it, Airflow quotes the whole schema.
  if (typeof detail === "string") return detail.split("\n\nFailed validating")[0];
  return Array.isArray(detail) ? detail.map((each) => each.msg ?? JSON.stringify(each)).join("; ") : JSON.stringify(detail);
}

/** Let no more than a few questions be under way, so that many services leave the browser its connections. */
function queue(most) {
  const waiting = [];
  let running = 0;
  const next = () => {
    if (running >= most || !waiting.length) return;
    running += 1;
    waiting.shift()().finally(() => {
      running -= 1;
      next();
    });
  };
  return (load) =>
    new Promise((resolve, reject) => {
      waiting.push(() => load().then(resolve, reject));
      next();
    });
}
export const inTurn = queue(4);

const LONGEST = 300;

/** Load something (its value, and at what time), again every `seconds` while the page is looked at; ever more rarely while that fails. */
export function useLoaded(load, seconds, deps, active = true) {
  const [state, set] = useState({});
  const [turn, setTurn] = useState(0);
  const again = useCallback(() => setTurn((number) => number + 1), []);
  useEffect(() => {
    if (!active) return undefined;
    let timer;
    let ended = false;
    let failures = 0;
    const step = async () => {
      if (document.hidden) return; // `shown` goes on
      let next;
      try {
        next = { value: await load(), at: new Date().toISOString() };
        failures = 0;
      } catch (error) {
        failures += 1;
        next = { error };
      }
      if (ended) return;
      set((before) => ({ value: before.value, at: before.at, ...next }));
      clearTimeout(timer); // of another step, begun when the page was looked at again meanwhile
      timer = setTimeout(step, Math.min(LONGEST, seconds * 2 ** failures) * 1000);
    };
    const shown = () => {
      clearTimeout(timer);
      if (!document.hidden) step();
    };
    step();
    document.addEventListener("visibilitychange", shown);
    return () => {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [...deps, active, turn]);
  return [state, again];
}

/** Whether an element is on the screen, or nearly. */
export function useVisible() {
  const ref = useRef(null);
  const [visible, set] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver(([entry]) => set(entry.isIntersecting), { rootMargin: "200px" });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, visible];
}
