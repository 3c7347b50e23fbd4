// Run one node and what it needs, beside whatever the page itself runs.
//
// The messages of such a run come over a socket of their own, so that the page neither marks nodes
// as running nor announces a finished job. Only ComfyUI's documented HTTP and socket protocol is
// used: /prompt, /history and /ws.

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const CLIENT = `ganvas-${Math.random().toString(36).slice(2)}`;
const PATIENCE_MS = 120_000;

const runs = new Map(); // by prompt id
let connection = null;

/** Run a node of the open workflow and return what it shows, ComfyUI's `output` of "executed". */
export async function runNode(node) {
  const { output } = await app.graphToPrompt();
  const id = executionId(node, output);
  if (id === undefined) throw new Error("muted");
  await connected();
  const response = await api.fetchApi("/prompt", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      client_id: CLIENT,
      prompt: withUpstream(output, id),
      front: true,
      extra_data: { ganvas_unlisted: true }, // `ganvas editor` keeps it out of the list of jobs
    }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(refusal(answer));
  try {
    return await finished(answer.prompt_id, id);
  } finally {
    runs.delete(answer.prompt_id);
    forget(answer.prompt_id);
  }
}

/** The id of a node in the API format: "outer:inner" when it lies in a subgraph. */
function executionId(node, output) {
  const own = String(node.id);
  return Object.keys(output).find(
    (id) =>
      output[id].class_type === node.comfyClass && (id === own || id.endsWith(`:${own}`)),
  );
}

/** The part of a workflow that one node needs, itself included. */
function withUpstream(output, id) {
  const kept = {};
  const waiting = [id];
  while (waiting.length) {
    const next = waiting.pop();
    if (next in kept || !(next in output)) continue;
    kept[next] = output[next];
    for (const value of Object.values(output[next].inputs)) {
      if (Array.isArray(value) && value.length === 2) waiting.push(String(value[0]));
    }
  }
  return kept;
}

/** What is wrong with a workflow, in one line: the first node's first error. */
function refusal(answer) {
  for (const { errors } of Object.values(answer.node_errors ?? {})) {
    for (const { message, details } of errors) return [message, details].filter(Boolean).join(": ");
  }
  const { message, details } = answer.error ?? {};
  return [message, details].filter(Boolean).join(": ") || "refused";
}

/** Open the socket, or wait until it is open. */
function connected() {
  connection ??= new Promise((resolve, reject) => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(
      `${scheme}://${api.api_host}${api.api_base}/ws?clientId=${CLIENT}`,
    );
    socket.onopen = () => resolve(socket);
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") receive(JSON.parse(data));
    };
    socket.onclose = () => {
      connection = null;
      reject(new Error("connection lost"));
      for (const run of runs.values()) run.fail?.(new Error("connection lost"));
    };
  });
  return connection;
}

/** Note a message about a run; it may come before the answer that names the run. */
function receive({ type, data }) {
  const id = data?.prompt_id;
  if (!id) return;
  if (!runs.has(id)) {
    if (type !== "execution_start") return;
    runs.set(id, { outputs: {} });
  }
  const run = runs.get(id);
  if (type === "executed") run.outputs[data.display_node ?? data.node] = data.output;
  else if (type === "execution_success") run.done = true;
  else if (type === "execution_error") run.error = new Error(data.exception_message);
  else if (type === "execution_interrupted") run.error = new Error("interrupted");
  settle(run);
}

/** Wait for a run to end and return what the node `id` showed. */
function finished(promptId, id) {
  if (!runs.has(promptId)) runs.set(promptId, { outputs: {} });
  const run = runs.get(promptId);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => run.fail(new Error("no answer")), PATIENCE_MS);
    run.succeed = () => {
      clearTimeout(timer);
      resolve(run.outputs[id] ?? {});
    };
    run.fail = (error) => {
      clearTimeout(timer);
      reject(error);
    };
    settle(run);
  });
}

function settle(run) {
  if (run.error) run.fail?.(run.error);
  else if (run.done) run.succeed?.();
}

/** Take a run out of ComfyUI's list of jobs, or one for every movement would stand there. */
function forget(promptId) {
  api
    .fetchApi("/history", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ delete: [promptId] }),
    })
    .catch((error) => console.debug("ganvas:", error));
}
