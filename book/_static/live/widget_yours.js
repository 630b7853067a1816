// The reader's own model: a folder of runs is dropped or chosen, and its assistants can be talked to. Nothing is sent.

import { ask } from "./client.js";
import { make } from "./dom.js";
import { ChatWidget } from "./widget_chat.js";

const WANTED = ["config.json", "tokenizer.json", "model.safetensors"];
const TEMPLATE = "chat_template.jinja"; // of stages that answer
const STAGE = "yours"; // its name in the worker
const MOST = 20_000; // files looked at
const HINT = "Drop a folder of runs here, or one stage's folder, or choose it. " +
  "The files are read in this page; nothing leaves your machine.";

export function start(element) {
  element.replaceChildren(new YoursWidget().root);
}

class YoursWidget {
  constructor() {
    this.taking = Promise.resolve(); // one model after the other
    this.looks = 0;
    const choose = make("input", { type: "file", multiple: true, webkitdirectory: true });
    choose.onclick = () => (choose.value = ""); // the same folder may hold another model by now
    choose.onchange = () => this.look([...choose.files].map((file) => [file.webkitRelativePath || file.name, file]));
    this.status = make("p", { className: "status", role: "status" }, HINT);
    this.models = make("select", { onchange: () => this.take(this.models.value) });
    this.choice = make("label", { hidden: true }, "Model ", this.models);
    this.talk = make("div", {});
    const place = make("div", { className: "drop" }, make("label", {}, "Folder ", choose));
    place.ondragover = (event) => event.preventDefault();
    place.ondrop = (event) => {
      event.preventDefault();
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
      this.look(filesIn(entries));
    };
    this.root = make("div", {}, place, this.choice, this.status, this.talk);
  }

  tell(text) {
    this.status.textContent = text;
  }

  /** Find the folders that hold a model. */
  async look(found) {
    const look = ++this.looks;
    this.tell("Looking.");
    this.talk.replaceChildren();
    this.choice.hidden = true;
    try {
      const files = await found;
      if (look !== this.looks) return; // another folder was brought meanwhile
      this.folders = modelsIn(files);
    } catch (error) {
      return look === this.looks && this.tell(error.message);
    }
    const names = [...this.folders.keys()];
    if (!names.length) return this.tell(`No folder there holds ${WANTED.join(", ")}. Choose runs/, or a stage's folder in it.`);
    this.models.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    this.choice.hidden = names.length === 1;
    this.take(names[0]);
  }

  take(name) {
    const [files, look] = [this.folders.get(name), this.looks];
    this.taking = this.taking.then(() => this.read(name, files, look));
  }

  /** Read a model, and offer to talk with it. */
  async read(name, files, look) {
    if (look !== this.looks) return; // another folder was brought meanwhile
    this.tell(`Reading ${name}.`);
    this.chat?.asking.abort();
    this.talk.replaceChildren();
    try {
      await ask({ do: "adopt", stage: STAGE, files: Object.fromEntries(WANTED.map((each) => [each, files[each]])) });
    } catch (error) {
      return look === this.looks && this.tell(`${name}: ${error.message}`);
    }
    if (look !== this.looks) return;
    this.tell(`${name} is ready.${files[TEMPLATE] ? "" : " It has no chat template: a base model does not answer well."}`);
    this.chat = new ChatWidget(STAGE, "[]", "It runs in this page: what you write stays here.");
    this.talk.replaceChildren(this.chat.root);
  }
}

/** The files of dropped folders, as [path, file]. */
async function filesIn(entries, found = []) {
  for (const entry of entries) {
    if (found.length > MOST) throw new Error(`There are more than ${MOST} files. Choose runs/, or a stage's folder in it.`);
    if (entry.isFile) found.push([entry.fullPath.slice(1), await new Promise((done, fail) => entry.file(done, fail))]);
    else await filesIn(await listed(entry), found);
  }
  return found;
}

/** What a folder holds; the browser hands it out in parts. */
async function listed(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const part = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!part.length) return all;
    all.push(...part);
  }
}

/** Folder -> its files by name, of folders that hold a model, whole or not; those that answer come first. */
function modelsIn(files) {
  const folders = new Map();
  for (const [path, file] of files) {
    const cut = path.lastIndexOf("/");
    const folder = path.slice(0, Math.max(0, cut)) || "your model";
    if (!folders.has(folder)) folders.set(folder, Object.create(null));
    folders.get(folder)[path.slice(cut + 1)] = file;
  }
  const models = [...folders].filter(([, held]) => WANTED.filter((name) => name in held).length > 1);
  models.sort(([a, x], [b, y]) => (TEMPLATE in y) - (TEMPLATE in x) || (a < b ? -1 : 1));
  return new Map(models);
}
