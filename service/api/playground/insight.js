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

/** `discount`: of lower slots in the reward; above 0, a reward of clicks is no number of clicks. */
export function drawScore(answer, discount) {
  const { reward, input_reward: base, objective, items } = answer;
  const unit = objective.conversion || objective.value ? "reward" : "clicks";
  const most = Math.max(reward ?? 0, base ?? 0, 1e-9);
  const changed = items.filter((item) => item.slot !== item.input_slot).length;
  const gain = reward === null || !base ? null : (reward / base - 1) * 100;
  $("score").replaceChildren(
    el(
      "div",
      { class: "headline" },
      el("strong", { class: gain > 0 ? "gain" : "" }, gain === null ? "–" : `${signed(gain, 1)} %`),
      el("span", {}, `predicted gain in ${unit} over the input list`),
      discount > 0 ? el("span", {}, "(upper slots count more)") : null,
      el("span", { class: "caveat" }, "The model's prediction, not a measurement."),
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
      fact(`${changed}`, `of ${items.length} changed`),
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
  const { slot, item_id: id, neighbors } = slots[state.selected];
  const conversion = answer.items[slot].p_conversion ?? null;
  const widest = Math.max(1e-9, ...neighbors.map((n) => Math.abs(n.gain)));
  $("why").replaceChildren(
    el("h2", {}, `Why slot ${slot + 1}`),
    el("p", { class: "subject" }, title(id)),
    el("p", { class: "sentence" }, sentence(slots[slot], conversion)),
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

function sentence({ item_id: id, p_click: p, input_item_id: input, gain_over_input_item: gain }, conversion) {
  const after = conversion === null ? "" : `, of a conversion after a click ${number(conversion, 2)}`;
  const chance = `Its predicted chance of a click here is ${number(p, 2)}${after}.`;
  if (id === input) return `${chance} It stands where it came in.`;
  if (gain === null) return `${chance} The rules do not allow the input's item back here.`;
  const verb = gain >= 0 ? "lose" : "gain";
  return `${chance} With ${title(input)} back here the list would ${verb} ${number(Math.abs(gain))}.`;
}

export function drawCompared(answer) {
  const lists = answer.explanation?.lists ?? [];
  const input = inputIds();
  const scores = lists.map((list) => list.score);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
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
        bar(0.08 + (0.92 * (list.score - low)) / (high - low || 1), list.served ? "strong" : "quiet"),
        el("span", { class: "value" }, signed(list.score)),
      );
    });
  $("compared").replaceChildren(
    el("h2", {}, "Lists evaluated"),
    el(
      "p",
      { class: "hint" },
      rows.length
        ? "Predicted gain over the input list, less the model's doubt. The highest is served."
        : "They come with the explanation.",
    ),
    el("ol", { class: "tried ranked" }, rows),
  );
}

/** The stages add up to the headline's milliseconds; the explanation is time of this page only. */
export function drawTimes(answer) {
  const times = answer.timings_ms;
  const more = Math.max(0, times.total - spent(times));
  const strip = el("div", { class: "strip", "aria-hidden": "true" });
  for (const stage of STAGES) {
    const part = el("span", { class: `part ${stage}` });
    part.style.flexGrow = times[stage] / (spent(times) || 1);
    strip.append(part);
  }
  $("times").replaceChildren(
    el("h2", {}, "Where the time went"),
    strip,
    el(
      "dl",
      { class: "legend" },
      STAGES.map((stage) => el("div", {}, el("dt", { class: stage }, stage), el("dd", {}, `${times[stage].toFixed(2)} ms`))),
    ),
    el(
      "p",
      { class: "hint" },
      `${spent(times).toFixed(1)} ms for the list. `,
      answer.explanation ? `Explaining it to this page took ${more.toFixed(1)} ms more; other callers do not pay for that.` : null,
    ),
  );
}
