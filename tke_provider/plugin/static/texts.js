// Small things that every part of the board shows.
const { Alert } = globalThis.ChakraUI;
export const h = globalThis.React.createElement;

export const short = (text) => (text || "").slice(0, 12);
export const digest = (image) => short((image || "").split("sha256:")[1]) || image || "";
export const when = (iso) =>
  iso ? new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "";

export const lasted = (seconds) => {
  if (seconds == null) return "unknown";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};

export function Message({ status, children }) {
  const role = status === "error" ? "alert" : "status";
  return h(Alert.Root, { status, my: 2, role }, h(Alert.Indicator), h(Alert.Title, { wordBreak: "break-word" }, children));
}
