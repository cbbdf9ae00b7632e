// The two lists, the lines between them, and the candidates that are in neither.

import { $, bar, el, number } from "./dom.js";
import { inputIds, state, title } from "./state.js";

/** Draw both lists; `act` holds what the buttons of a row do. */
export function drawLists(before, answer, act) {
  const size = answer.items.length;
  const most = Math.max(0.01, ...[...(before?.items ?? []), ...answer.items].map((item) => item.p_click ?? 0));
  const converts = answer.items.some((item) => (item.p_conversion ?? null) !== null);
  for (const unit of document.querySelectorAll("[data-unit]"))
    unit.textContent = converts ? "chance of a click, of a conversion" : "chance of a click";
  const served = new Map(answer.items.map((item) => [item.item_id, item.slot]));
  const input = inputIds().slice(0, size);
  $("before").replaceChildren(
    ...input.map((id, slot) => inputRow(id, slot, before?.items[slot] ?? null, served, most)),
  );
  $("after").replaceChildren(...answer.items.map((item) => servedRow(item, size, most, act)));
  drawRest(served, size, act);
  alignRows();
  drawLines();
}

/** Rows of one slot get one height, whichever title is the longer. */
export function alignRows() {
  const [before, after] = ["before", "after"].map((id) => [...$(id).children]);
  for (const row of [...before, ...after]) row.style.minHeight = "";
  const heights = before.map((row, slot) => Math.max(row.offsetHeight, after[slot]?.offsetHeight ?? 0));
  heights.forEach((height, slot) => {
    for (const row of [before[slot], after[slot]]) if (row) row.style.minHeight = `${height}px`;
  });
}

function inputRow(id, slot, judged, served, most) {
  const out = !served.has(id);
  return el(
    "li",
    { class: `row ${out ? "out" : ""}`, "data-id": id },
    el(
      "div",
      { class: "body" },
      el("span", { class: "slot" }, `${slot + 1}`),
      named(id, out ? el("span", { class: "move gone" }, "out") : null),
      chances(judged, most, "quiet"),
    ),
  );
}

function servedRow(item, size, most, act) {
  const { item_id: id, slot } = item;
  const chosen = state.selected === slot;
  const pinned = state.pinned.get(slot) === id;
  return el(
    "li",
    { class: `row ${chosen ? "chosen" : ""}`, "data-id": id, "data-from": item.input_slot },
    el(
      "button",
      {
        type: "button",
        class: "body",
        "aria-pressed": `${chosen}`,
        "aria-label": `Slot ${slot + 1}, ${title(id)}: explain`,
        onclick: () => act.select(chosen ? null : slot),
      },
      el("span", { class: "slot" }, `${slot + 1}`),
      named(id, moved(item, size)),
      chances(item, most, "strong"),
    ),
    el(
      "span",
      { class: "tools" },
      tool(pinned ? "Unpin" : "Pin", `${pinned ? "Unpin" : "Pin"} ${title(id)} in slot ${slot + 1}`, pinned, () =>
        pinned ? act.unpin(slot) : act.pin(slot, id),
      ),
      tool("Exclude", `Exclude ${title(id)}`, false, () => act.exclude(id)),
    ),
  );
}

function tool(text, label, on, onclick) {
  return el("button", { type: "button", class: `tool ${on ? "on" : ""}`, "aria-label": label, onclick }, text);
}

function named(id, move = null) {
  const clicked = state.shown.clicked?.includes(id);
  return el(
    "span",
    { class: "name" },
    el(
      "span",
      { class: "heading" },
      el("span", { class: "title" }, title(id)),
      clicked ? el("span", { class: "clicked", title: "The user did click it" }, "✓", el("span", { class: "unseen" }, " clicked")) : null,
    ),
    el("span", { class: "meta" }, move, Object.values(state.items.get(id)?.values ?? {}).flat().join(" · ")),
  );
}

function moved({ slot, input_slot: from }, size) {
  if (from === slot) return null;
  if (from >= size) return el("span", { class: "move new" }, `from ${from + 1}`);
  const up = from > slot;
  return el("span", { class: `move ${up ? "up" : "down"}` }, `${up ? "▲" : "▼"} ${Math.abs(from - slot)}`);
}

/** Of a click, and of a conversion after it where the artifact predicts one. */
function chances(item, most, kind) {
  const click = item?.p_click ?? null;
  const conversion = item?.p_conversion ?? null;
  return el(
    "span",
    { class: "chance" },
    bar((click ?? 0) / most, kind),
    el("span", { class: "value" }, number(click, 2), el("span", { class: "unseen" }, " chance of a click")),
    conversion === null
      ? null
      : el(
          "span",
          { class: "conversion" },
          number(conversion, 2),
          el("span", { class: "unseen" }, " chance of a conversion after a click"),
        ),
  );
}

function drawRest(served, size, act) {
  const rest = inputIds().filter((id, at) => !served.has(id) && (at >= size || state.excluded.has(id)));
  $("rest-box").hidden = !rest.length;
  $("rest-title").textContent = `${rest.length} more candidates`;
  $("rest").replaceChildren(
    ...rest.map((id) =>
      el(
        "li",
        {},
        named(id),
        el(
          "select",
          {
            "aria-label": `Pin ${title(id)} to a slot`,
            onchange: (event) => act.pin(Number(event.target.value), id),
          },
          el("option", { value: "" }, "Pin to…"),
          Array.from({ length: size }, (_, slot) => el("option", { value: slot }, `slot ${slot + 1}`)),
        ),
      ),
    ),
  );
}

/** One line an item, from where it stood to where it stands; from below for one that came in. */
export function drawLines() {
  const box = $("lines").getBoundingClientRect();
  if (!box.width) return $("lines").replaceChildren();
  const middle = (row) => {
    const { top, height } = row.getBoundingClientRect();
    return top + height / 2 - box.top;
  };
  const from = new Map([...$("before").children].map((row) => [row.dataset.id, middle(row)]));
  const lines = [...$("after").children].map((row, slot) => {
    const start = from.get(row.dataset.id);
    const end = middle(row);
    const kind = start === undefined ? "new" : Math.abs(start - end) < 2 ? "same" : start > end ? "up" : "down";
    const y = start ?? box.height - 4;
    const x = start === undefined ? box.width * 0.2 : 0;
    const bend = box.width * 0.55;
    const chosen = state.selected === slot ? "chosen" : "";
    return el("path", {
      class: `line ${kind} ${chosen}`,
      d: `M${x},${y} C${bend},${y} ${box.width - bend},${end} ${box.width},${end}`,
    });
  });
  $("lines").setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
  $("lines").replaceChildren(...lines);
}
