// Brings the widgets of a page to life. Each is an element with a still, which stays where this file does not run.

const WIDGETS = {
  attention: () => import("./widget_attention.js"),
  chat: () => import("./widget_chat.js"),
  lora: () => import("./widget_lora.js"),
  next: () => import("./widget_next.js"),
  stages: () => import("./widget_stages.js"),
  tokens: () => import("./widget_tokens.js"),
  vectors: () => import("./widget_vectors.js"),
  yours: () => import("./widget_yours.js"),
};

const elements = document.querySelectorAll(".minillm-live");
if (elements.length) {
  const style = document.createElement("link");
  Object.assign(style, { rel: "stylesheet", href: new URL("live.css", import.meta.url).href });
  document.head.append(style);
}
for (const element of elements) {
  WIDGETS[element.dataset.widget]?.().then(({ start }) => start(element));
}
