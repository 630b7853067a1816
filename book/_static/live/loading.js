// What a widget shows until its models are there: the bar of their loading, a line that tells what happens, and what to
// do where there are no models.

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
    if (!this.loaded) await this.during((onProgress) => load(this.stage, onProgress));
    this.loaded = true;
  }

  /**
   * Show a bar while something loads; its result.
   * @param {(onProgress: (loaded: number, total: number) => void) => Promise<any>} start
   */
  async during(start) {
    this.bar.hidden = false;
    this.bar.removeAttribute("value");
    this.status.setAttribute("aria-busy", "true"); // so that not each of a hundred numbers is read aloud
    try {
      return await start((loaded, total) => {
        Object.assign(this.bar, { max: total, value: loaded });
        this.tell(`Loading: ${megabytes(loaded)} of ${megabytes(total)}`);
      });
    } finally {
      this.bar.hidden = true;
      this.status.removeAttribute("aria-busy");
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
