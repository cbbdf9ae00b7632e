// What is asked: the logged request, the settings beside it, the rules. Makes bodies, draws nothing.

export const state = {
  shown: null, // the logged request with titles
  items: new Map(), // item id -> title, values
  numLists: 8,
  listSize: 10,
  budgetMs: 50,
  seed: null,
  pinned: new Map(), // slot -> item id
  excluded: new Set(),
  caps: [],
  minimums: [],
  selected: null, // slot that is explained
};

/** Take up another logged request; rules that name its items are gone, the others stay. */
export function show(shown, limits, defaultSize) {
  state.shown = shown;
  state.items = new Map(shown.items.map((item) => [item.item_id, item]));
  state.pinned.clear();
  state.excluded.clear();
  state.selected = null;
  state.listSize = Math.min(defaultSize, limits.max_list_size, shown.items.length);
}

export const inputIds = () => state.shown.request.candidates.item_id;
export const title = (id) => state.items.get(id)?.title ?? id;

/** The body of what is asked now. */
export function body() {
  return { ...common(), num_lists: state.numLists, explain: true, ...seeded(), ...ruled() };
}

/** The same request with the input list pinned: what the evaluator says of it, slot by slot. */
export function inputBody() {
  const pinned = inputIds()
    .slice(0, state.listSize)
    .map((item_id, slot) => ({ slot, item_id }));
  return { ...common(), num_lists: 1, constraints: { pinned } };
}

export function pin(slot, id) {
  for (const [other, held] of state.pinned) if (held === id) state.pinned.delete(other);
  state.excluded.delete(id);
  state.pinned.set(slot, id);
}

export function exclude(id) {
  for (const [slot, held] of state.pinned) if (held === id) state.pinned.delete(slot);
  state.excluded.add(id);
}

/** Every rule in force: what it says, and how to drop it. */
export function rules() {
  const pins = [...state.pinned].map(([slot, id]) => ({
    text: `Slot ${slot + 1}: ${title(id)}`,
    drop: () => state.pinned.delete(slot),
  }));
  const gone = [...state.excluded].map((id) => ({
    text: `Without ${title(id)}`,
    drop: () => state.excluded.delete(id),
  }));
  const counted = [
    ["caps", "At most", "max"],
    ["minimums", "At least", "min"],
  ].flatMap(([kind, word, count]) =>
    state[kind].map((rule) => ({
      text: `${word} ${rule[count]} × ${rule.value ?? `each ${rule.field}`}${
        rule.window ? ` in ${rule.window}` : ""
      }`,
      drop: () => state[kind].splice(state[kind].indexOf(rule), 1),
    })),
  );
  return [...pins, ...gone, ...counted];
}

function common() {
  return { ...state.shown.request, list_size: state.listSize, budget_ms: state.budgetMs };
}

const seeded = () => (state.seed === null ? {} : { seed: state.seed });

function ruled() {
  const constraints = {};
  if (state.pinned.size)
    constraints.pinned = [...state.pinned].map(([slot, item_id]) => ({ slot, item_id }));
  if (state.excluded.size) constraints.exclude = [...state.excluded];
  if (state.caps.length) constraints.caps = state.caps;
  if (state.minimums.length) constraints.minimums = state.minimums;
  return Object.keys(constraints).length ? { constraints } : {};
}
