// Small things that every part of the board shows.
const { Alert, Box } = globalThis.ChakraUI;
export const h = globalThis.React.createElement;

export const short = (text) => (text || "").slice(0, 12);
export const digest = (image) => short((image || "").split("sha256:")[1]) || image || "";

/** The zone that the user chose in Airflow, as all its pages have it; else the browser's. */
function zone() {
  try {
    return JSON.parse(localStorage.getItem("timezone")) ?? undefined;
  } catch {
    return undefined;
  }
}
export const when = (iso) =>
  iso ? new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short", timeZone: zone() }) : "";
export const day = (time) => new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", timeZone: zone() });

export const lasted = (seconds) => {
  if (seconds == null) return "unknown";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};

export const CARD = { borderWidth: 1, borderRadius: "lg", bg: "bg", p: { base: 3, md: 4 }, minW: 0 };
// Whoever may press Tab has to see where they are, on links as on buttons.
export const LINK = { color: "fg", textDecoration: "underline", textUnderlineOffset: "2px" };

export function Message({ status, children }) {
  const role = status === "error" ? "alert" : "status";
  return h(Alert.Root, { status, my: 2, role, size: "sm" }, h(Alert.Indicator, { "aria-hidden": true }), h(Alert.Title, { overflowWrap: "anywhere" }, children));
}

/** Names and values, a line each; what has no value is left out. */
export function Facts({ facts }) {
  const shown = facts.filter(([, value]) => value);
  const line = ([name, value]) => [
    h(Box, { as: "dt", key: `${name}.`, color: "fg.muted" }, name),
    h(Box, { as: "dd", key: name, minW: 0, overflowWrap: "anywhere" }, value),
  ];
  return h(Box, { as: "dl", display: "grid", gridTemplateColumns: "max-content minmax(0, 1fr)", columnGap: 3, rowGap: 1, fontSize: "sm" }, shown.flatMap(line));
}
