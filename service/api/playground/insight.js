// Why this list: the score, one slot explained, the lists compared, where the time went.

import { $, bar, el, number, signed } from "./dom.js";
import { inputIds, rules, state, title } from "./state.js";

const NAMES = { input: "Input", refined: "Refined" };
const STAGES = ["queue", "parse", "features", "encode", "generate", "evaluate"];
const WITHOUT = {
  user_features: "The user's features came too late: this is a default user's list.",
  fewer_lists: "The budget held fewer lists, or fewer refinements, than asked for.",
  input_order: "The model had no time: this is the input list, rules applied.",
  explanation: "The explanation did not fit into the budget.",
};

export function drawScore(answer) {
  const { reward, input_reward: base, objective, items } = answer;
  const unit = objective.conversion || objective.value ? "predicted reward" : "predicted clicks";
  const most = Math.max(reward ?? 0, base ?? 0, 1e-9);
  const changed = items.filter((item) => item.slot !== item.input_slot).length;
  const gain = reward === null || !base ? null : (reward / base - 1) * 100;
  $("score").replaceChildren(
    el(
      "div",
      { class: "headline" },
      el("strong", { class: gain > 0 ? "gain" : "" }, gain === null ? "–" : `${signed(gain, 1)} %`),
      el("span", {}, `${unit} over the input list`),
    ),
    el(
      "dl",
      { class: "against" },
      el("dt", {}, "Served"),
      el("dd", {}, bar((reward ?? 0) / most, "strong"), el("span", { class: "value" }, number(reward))),
      el("dt", {}, rules().length ? "Input by rules" : "Input"),
      el("dd", {}, bar((base ?? 0) / most, "quiet"), el("span", { class: "value" }, number(base))),
    ),
    el(
      "dl",
      { class: "facts" },
      fact(`${changed}`, `of ${items.length} slots changed`),
      fact(`${answer.lists_evaluated}`, "lists compared"),
      fact(spent(answer.timings_ms).toFixed(1), "ms for the list"),
    ),
    answer.degraded.length
      ? el("ul", { class: "without" }, answer.degraded.map((what) => el("li", {}, WITHOUT[what] ?? what)))
      : "",
  );
}

const spent = (times) => STAGES.reduce((sum, stage) => sum + times[stage], 0);
const fact = (value, text) => el("div", {}, el("dd", {}, value), el("dt", {}, text));

export function drawWhy(answer) {
  const slots = answer.explanation?.slots;
  if (state.selected === null || !slots?.[state.selected]) {
    $("why").replaceChildren(
      el("h2", {}, "Why"),
      el("p", { class: "hint" }, slots ? "Choose a slot of the served list to see what it does there." : "There was no time to explain."),
    );
    return;
  }
  const { slot, item_id: id, p_click: p, input_item_id: input, gain_over_input_item: gain, neighbors } =
    slots[state.selected];
  const widest = Math.max(1e-9, ...neighbors.map((n) => Math.abs(n.gain)));
  $("why").replaceChildren(
    el("h2", {}, `Why slot ${slot + 1}`),
    el("p", { class: "subject" }, title(id)),
    el("p", { class: "sentence" }, sentence(id, input, gain, p)),
    neighbors.length
      ? el("h3", {}, "Best of the others tried here")
      : el("p", { class: "hint" }, "The rules leave nothing else to try here."),
    el(
      "ul",
      { class: "tried" },
      neighbors.map((n) =>
        el(
          "li",
          {},
          el("span", { class: "title" }, title(n.item_id)),
          el("span", { class: "how" }, n.swapped_with === null ? "in its place" : `swapped with slot ${n.swapped_with + 1}`),
          bar(Math.abs(n.gain) / widest, n.gain < 0 ? "loss" : "strong"),
          el("span", { class: "value" }, signed(n.gain)),
        ),
      ),
    ),
  );
}

function sentence(id, input, gain, p) {
  const chance = `Its chance of a click here is ${number(p, 2)}.`;
  if (id === input) return `${chance} It stands where it came in.`;
  if (gain === null) return `${chance} The rules do not allow the input's item back here.`;
  const verb = gain >= 0 ? "lose" : "gain";
  return `${chance} With ${title(input)} back here the list would ${verb} ${number(Math.abs(gain))}.`;
}

export function drawCompared(answer) {
  const lists = answer.explanation?.lists ?? [];
  const input = inputIds();
  const rewards = lists.map((list) => list.reward);
  const [low, high] = [Math.min(...rewards), Math.max(...rewards)];
  const rows = lists
    .map((list, at) => ({ ...list, name: NAMES[list.source] ?? `List ${at + 1}` }))
    .sort((a, b) => b.score - a.score)
    .map((list) => {
      const changed = list.item_ids.filter((id, slot) => id !== input[slot]).length;
      const kind = list.served ? "served" : list.source;
      return el(
        "li",
        { class: kind },
        el("span", { class: "title" }, list.name, list.served ? el("span", { class: "unseen" }, ", served") : null),
        el("span", { class: "how" }, list.source === "input" ? "" : `${changed} changed`),
        bar(0.08 + (0.92 * (list.reward - low)) / (high - low || 1), list.served ? "strong" : "quiet"),
        el("span", { class: "value" }, number(list.reward)),
      );
    });
  $("compared").replaceChildren(
    el("h2", {}, "Lists evaluated"),
    el(
      "p",
      { class: "hint" },
      rows.length
        ? "By gain over the input, doubt deducted."
        : "They come with the explanation.",
    ),
    el("ol", { class: "tried ranked" }, rows),
  );
}

export function drawTimes(answer) {
  const times = answer.timings_ms;
  const known = STAGES.map((stage) => [stage, times[stage]]);
  const parts = [...known, ["explain", Math.max(0, times.total - spent(times))]];
  const strip = el("div", { class: "strip", "aria-hidden": "true" });
  for (const [stage, ms] of parts) {
    const part = el("span", { class: `part ${stage}` });
    part.style.flexGrow = ms / (times.total || 1);
    strip.append(part);
  }
  $("times").replaceChildren(
    el("h2", {}, "Where the time went"),
    strip,
    el(
      "dl",
      { class: "legend" },
      parts.map(([stage, ms]) => el("div", {}, el("dt", { class: stage }, stage), el("dd", {}, `${ms.toFixed(2)} ms`))),
    ),
  );
}
