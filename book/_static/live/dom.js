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

/** 3465088 -> "3.5 MB". */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
