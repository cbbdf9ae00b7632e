// Talking to the service. The token lives in this module's memory and nowhere else.

let token = "";

export function useToken(given) {
  token = given.trim();
}

export const hasToken = () => token !== "";

/** What the service refused, or `status` 0 when there was no answer at all. */
export class Refused extends Error {
  constructor(status, code, message, details = {}, retryAfter = null) {
    super(message);
    Object.assign(this, { status, code, details, retryAfter });
  }
}

export const read = (path, signal) => ask("GET", path, undefined, signal);
export const rerank = (body, signal) => ask("POST", "rerank", body, signal);

async function ask(method, path, body, signal) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "no_answer", "The service did not answer. Is it still running?");
  }
  let content;
  try {
    content = await answer.json();
  } catch {
    throw new Refused(answer.status, "no_json", `HTTP ${answer.status} without a readable body`);
  }
  if (answer.ok) return content;
  const { code, message, details } = content.error ?? {};
  throw new Refused(
    answer.status,
    code ?? "unknown",
    message ?? `HTTP ${answer.status}`,
    details ?? {},
    answer.headers.get("retry-after"),
  );
}
