// Making elements. Text is always set as text, never as HTML: a model may write anything.

/**
 * @param {string} name of the tag
 * @param {Record<string, unknown>} properties of the element; those with a dash, and `role`, are attributes
 * @param {...(Node | string)} children
 */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** A button that does something when it is pressed. */
export function button(text, onclick, properties = {}) {
  return make("button", { type: "button", onclick, ...properties }, text);
}

/** A form that Enter or its button sends. */
export function form(onSend, ...content) {
  const element = make("form", {}, ...content);
  element.onsubmit = (event) => {
    event.preventDefault();
    onSend();
  };
  return element;
}

/** The button that sends a form. */
export function sender(text) {
  return make("button", { type: "submit", className: "main" }, text);
}

/**
 * Fill a table whose rows have a name and then shares, each told in words and shown by a bar of its length.
 * @param {[Node | string, ...[string, number][]][]} rows
 */
export function fillShares(table, caption, columns, rows) {
  const titles = columns.map((text) => make("th", { scope: "col" }, text));
  const lines = rows.map(([name, ...shares]) => make("tr", {}, make("th", { scope: "row" }, name), ...shares.map(shareCell)));
  table.replaceChildren(make("caption", {}, caption), make("thead", {}, make("tr", {}, ...titles)), make("tbody", {}, ...lines));
}

function shareCell([text, share]) {
  const cell = make("td", { className: "share" }, text);
  cell.style.setProperty("--share", share);
  return cell;
}

/** A list of tokens side by side, which can be scrolled by keyboard where it is long. */
export function tokenList(name, items) {
  return make("ol", { className: "tokens", role: "list", tabIndex: 0, "aria-label": name }, ...items);
}

/**
 * A slider with its name and its value in words: `label` holds all, `tell` is for when other words are due.
 * @param {() => void} [onInput] called when it has been moved
 * @param {(value: string) => string} [words]
 */
export function slider(name, properties, onInput = () => {}, words = (value) => value) {
  const input = make("input", { type: "range", ...properties });
  const told = make("output");
  const tell = () => {
    told.value = words(input.value);
    input.setAttribute("aria-valuetext", told.value);
  };
  input.oninput = () => {
    tell();
    onInput();
  };
  tell();
  return { input, tell, label: make("label", { className: "slider" }, `${name} `, input, told) };
}

/** 3465088 -> "3.5 MB". */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
