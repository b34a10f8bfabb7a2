// What one release changed, as its record in the cluster says; asked for only when somebody wants to see it.
import { ask, useLoaded } from "./api.js";
import { Markdown } from "./markdown.js";
import { Message, h } from "./texts.js";

const { Text } = globalThis.ChakraUI;
const A_DAY = 86400;

export function Changes({ event, revision }) {
  const query = new URLSearchParams({ cluster: event.cluster, namespace: event.namespace, service: event.service, revision });
  const [state] = useLoaded(() => ask(`tke/api/changes?${query}`), A_DAY, [event.uri, revision]);
  const reason = state.error?.message ?? state.value?.reason;
  if (reason) return h(Message, { status: "warning" }, reason);
  return state.value ? h(Markdown, { text: state.value.markdown ?? "" }) : h(Text, { role: "status" }, "asking the cluster …");
}
