// Caps and minimums: the form, and the rules in force as chips that can be dropped.

import { $, el } from "./dom.js";
import { rules, state } from "./state.js";

/** Offer the fields and values that the candidates of this request have. */
export function offerRules() {
  const fields = state.shown.ruled_fields;
  $("rule-form").hidden = !fields.length;
  $("rule-field").replaceChildren(...fields.map((name) => el("option", { value: name }, name)));
  offerValues();
}

function offerValues() {
  const field = $("rule-field").value;
  const counts = new Map();
  for (const item of state.shown.items)
    for (const value of item.values[field] ?? []) counts.set(value, (counts.get(value) ?? 0) + 1);
  const each = $("rule-kind").value === "cap" ? [el("option", { value: "" }, "each value")] : [];
  $("rule-value").replaceChildren(
    ...each,
    ...[...counts]
      .sort((a, b) => b[1] - a[1])
      .map(([value, count]) => el("option", { value }, `${value} (${count})`)),
  );
}

export function bindRules(changed) {
  $("rule-field").addEventListener("change", offerValues);
  $("rule-kind").addEventListener("change", () => {
    $("rule-window").disabled = $("rule-kind").value === "minimum";
    offerValues();
  });
  $("rule-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = $("rule-field").value;
    const value = $("rule-value").value;
    const count = $("rule-count").valueAsNumber;
    const rule = { field, ...(value && { value }) };
    if ($("rule-kind").value === "minimum") {
      changed(() => state.minimums.push({ ...rule, min: count }));
    } else {
      const slots = $("rule-window").valueAsNumber;
      changed(() => state.caps.push({ ...rule, max: count, ...(slots && { window: slots }) }));
    }
  });
}

export function drawRules(act, changed) {
  const all = rules();
  $("no-rules").hidden = all.length > 0;
  $("chips").replaceChildren(
    ...all.map(({ text, drop }) =>
      el(
        "li",
        {},
        el("span", {}, text),
        el("button", { type: "button", "aria-label": `Drop the rule: ${text}`, onclick: () => changed(drop) }, "×"),
      ),
    ),
  );
}
