// The page: chooses a request, asks whenever something changes, shows what came or what went wrong.

import { Refused, hasToken, read, rerank, useToken } from "./api.js";
import { $, el } from "./dom.js";
import { drawCompared, drawScore, drawTimes, drawWhy } from "./insight.js";
import { alignRows, drawLines, drawLists } from "./lists.js";
import { bindRules, drawRules, offerRules } from "./rules.js";
import { body, exclude, inputBody, pin, show, state } from "./state.js";

const USERS_OFFERED = 50;
const PAUSE_MS = 120; // a slider on the move is not a request each
const NOT_READY_MS = 1000; // a service that starts is asked again
let info;
let judged = { key: "", answer: null }; // what the evaluator says of the input list
let last = null;
let running = new AbortController();
let timer = 0;

const NO_REQUESTS = "This service has no logged requests to show: its requests file is empty.";

const act = {
  select: (slot) => {
    state.selected = slot;
    draw();
  },
  pin: (slot, id) => changed(() => pin(slot, id)),
  unpin: (slot) => changed(() => state.pinned.delete(slot)),
  exclude: (id) => changed(() => exclude(id)),
};

function changed(change) {
  change();
  drawRules(act, changed);
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE_MS);
}

async function ask() {
  running.abort();
  const { signal } = (running = new AbortController());
  $("columns").setAttribute("aria-busy", "true");
  await guarded(async () => {
    const key = `${state.shown.at}/${state.listSize}`;
    if (judged.key !== key) {
      judged = { key: "", answer: null };
      const answer = await rerank(inputBody(), signal);
      judged = { key, answer };
    }
    last = await rerank(body(), signal);
    if (state.selected !== null && state.selected >= last.items.length) state.selected = null;
    draw();
    tell(last);
  });
  if (!signal.aborted) $("columns").removeAttribute("aria-busy");
}

function draw() {
  if (!last) return;
  $("loading").hidden = true;
  $("columns").hidden = false;
  drawScore(last, info.objective.discount);
  drawLists(judged.answer, last, act);
  drawWhy(last);
  drawCompared(last);
  drawTimes(last);
}

function tell(answer) {
  const moved = answer.items.filter((item) => item.slot !== item.input_slot).length;
  $("told").textContent = `Reranked: ${moved} of ${answer.items.length} slots changed.`;
}

/** Run a step; what goes wrong is shown, and what was on the page stays, marked as old. */
async function guarded(step) {
  try {
    await step();
    $("problem").replaceChildren();
    $("columns").classList.remove("old");
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refused)) throw error;
    $("columns").classList.add("old");
    $("loading").hidden = true;
    $("problem").replaceChildren(...problem(error, hasToken()));
    if (error.status === 503) timer = setTimeout(start, NOT_READY_MS);
    if (error.status === 401) {
      $("token-box").hidden = false;
      $("token-box").open = true;
      $("token").focus();
    }
  }
}

function problem({ status, message, details, retryAfter }, sentToken) {
  const heading =
    {
      0: "No answer",
      401: sentToken ? "This is no token of this service" : "This service wants a token",
      422: "These rules or settings cannot be met",
      429: "The service is busy",
      503: "The service is not ready",
    }[status] ?? `The service refused (HTTP ${status})`;
  const broken = (details.broken ?? []).map((one) => `${one.field}: ${one.rule}`);
  const clashing = Object.values(details.rules ?? []).map((rule) => (typeof rule === "string" ? rule : JSON.stringify(rule)));
  const lines = [...broken, ...clashing];
  return [
    el("strong", {}, heading),
    el("p", {}, retryAfter ? `${message}. Try again in ${retryAfter} s.` : message),
    lines.length ? el("ul", {}, lines.map((line) => el("li", {}, line))) : "",
    el("button", { type: "button", class: "ghost", onclick: start }, "Try again"),
  ];
}

async function offerUsers(prefix) {
  const found = await read(`playground/users?limit=${USERS_OFFERED}&prefix=${encodeURIComponent(prefix)}`);
  $("users").replaceChildren(
    ...found.users.map((user) => el("option", { value: user.user_id }, `${user.requests} requests`)),
  );
  return found;
}

async function chooseUser(user) {
  const found = await read(`playground/requests?user_id=${encodeURIComponent(user)}`);
  if (!found.total) return;
  $("user").value = user;
  $("request").replaceChildren(
    ...found.requests.map((one, i) => el("option", { value: one.at }, label(one, i, found.total))),
  );
  await chooseRequest(found.requests[0].at);
}

function label({ candidates, timestamp }, i, total) {
  const when = timestamp === null ? "" : `, ${new Date(timestamp).toISOString().slice(0, 10)}`;
  return `${total > 1 ? `${i + 1} of ${total}: ` : ""}${candidates} candidates${when}`;
}

async function chooseRequest(at) {
  show(await read(`playground/requests/${at}`), info.limits, info.lengths.default_list_size);
  $("list-size").value = state.listSize;
  $("list-size").max = Math.min(info.limits.max_list_size, state.shown.items.length);
  $("clicked-legend").hidden = !state.shown.clicked?.length;
  offerRules();
  drawRules(act, changed);
  await ask();
}

async function anotherUser() {
  const total = (await read("playground/users?limit=1")).total;
  const offset = Math.floor(Math.random() * total);
  const [user] = (await read(`playground/users?limit=1&offset=${offset}`)).users;
  await chooseUser(user.user_id);
}

function bind() {
  const settings = [
    ["num-lists", (input) => (state.numLists = input.valueAsNumber)],
    ["budget", (input) => (state.budgetMs = input.valueAsNumber)],
    ["list-size", (input) => (state.listSize = input.valueAsNumber)],
    ["seed", (input) => (state.seed = input.value === "" ? null : input.valueAsNumber)],
  ];
  for (const [id, take] of settings) {
    $(id).addEventListener("input", () => {
      if (!$(id).reportValidity() || (id === "list-size" && !$(id).value)) return;
      changed(() => take($(id)));
      drawSettings();
    });
  }
  $("user").addEventListener("input", () => guarded(async () => {
    const typed = $("user").value;
    const found = await offerUsers(typed);
    if (typed === $("user").value && found.users.some((user) => user.user_id === typed))
      await chooseUser(typed);
  }));
  $("user").addEventListener("focus", () => $("user").select());
  $("request").addEventListener("change", () => guarded(() => chooseRequest($("request").value)));
  $("another").addEventListener("click", () => guarded(anotherUser));
  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useToken($("token").value);
    $("token-box").open = false;
    start();
  });
  bindRules(changed);
  new ResizeObserver(() => {
    alignRows();
    drawLines();
  }).observe($("columns"));
}

function drawSettings() {
  $("num-lists-now").textContent = state.numLists;
  $("budget-now").textContent = `${state.budgetMs} ms`;
}

async function start() {
  $("loading").hidden = last !== null;
  await guarded(async () => {
    info ??= await read("info");
    const { limits } = info;
    $("artifact").textContent = `artifact ${info.artifact} · ${info.items.toLocaleString("en")} items`;
    $("num-lists").max = Math.min(32, limits.max_num_lists);
    $("budget").max = limits.max_budget_ms;
    if (!state.shown) {
      state.budgetMs = limits.request_budget_ms;
      $("budget").value = state.budgetMs;
      drawSettings();
      const { users } = await offerUsers("");
      if (users.length) await chooseUser(users[0].user_id);
      else $("loading-text").textContent = NO_REQUESTS;
    } else {
      await ask();
    }
  });
}

bind();
start();
