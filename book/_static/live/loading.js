// What a widget shows until its model is there: the bar of its loading, a line that tells what happens, and what to do
// where there are no models.

import { load } from "./client.js";
import { make, megabytes } from "./dom.js";

const COMMANDS = ["minillm run --preset cpu", "minillm publish _build/html/models --preset cpu"];

export class Loading {
  constructor(stage) {
    this.stage = stage;
    this.bar = make("progress", { hidden: true, "aria-label": "Loading the model" });
    this.status = make("p", { className: "status", role: "status" });
  }

  tell(...content) {
    this.status.replaceChildren(...content);
  }

  /** Load the model, the first time. */
  async ready() {
    if (this.loaded) return;
    this.bar.hidden = false;
    this.bar.removeAttribute("value");
    try {
      await load(this.stage, (loaded, total) => {
        Object.assign(this.bar, { max: total, value: loaded });
        this.tell(`Loading: ${megabytes(loaded)} of ${megabytes(total)}`);
      });
      this.loaded = true;
    } finally {
      this.bar.hidden = true;
    }
  }

  /** Tell what went wrong, and how to mend it. */
  failed(error) {
    this.tell(error.message, ...(error.name === "NoModels" ? howToMakeThem() : []));
  }
}

function howToMakeThem() {
  return [" These two commands make them: ", ...COMMANDS.flatMap((command) => [make("code", {}, command), " "])];
}
