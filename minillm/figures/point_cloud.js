// The view of minillm/figures/point_cloud.py: labelled points in three dimensions, on a canvas, without a library.
// It starts in each element of its class that it finds not yet started, wherever a front end has put the script.
// What can be seen from outside are data attributes of that element: state, yaw, pitch, zoom, shown, moving. A word that is
// chosen here is told to the page by an event, and one that is chosen elsewhere in the page is marked here.
(() => {
  "use strict";

  const CAMERA = 4; // distance of the eye from the centre; the points lie within 1 of it
  const START = { yaw: -35, pitch: 20, zoom: 1 }; // degrees, degrees, factor
  const ZOOMS = [0.5, 8];
  const STEP = 5; // degrees for an arrow key
  const TURN = 0.4; // degrees for a pixel of dragging
  const MARGIN = 18; // pixels around the cloud
  const MARK = [1 / 85, [3.4, 5]]; // radius of a mark in the middle: share of the plot's shorter side, in pixels
  const REACH = { mouse: 14, touch: 26 }; // pixels within which a point is hit
  const SLIP = 4; // pixels that a click may move
  const NEIGHBOURS = 3;
  const CHOSEN = "minillm-word"; // the event; its detail is the word
  const DURATION = 900; // milliseconds for the way from one state to another
  const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  const HINT = "Drag, or press arrow keys, to turn. Point at a mark for its word; click to keep it.";

  // Outlines for the letters that matplotlib has for markers, about as large as a circle of radius 1.
  const OUTLINES = {
    o: "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
    s: "M-.88-.88H.88V.88H-.88Z",
    "^": "M0-1.2L1.15.85H-1.15Z",
    D: "M0-1.25L1.25 0L0 1.25L-1.25 0Z",
    v: "M0 1.2L1.15-.85H-1.15Z",
    P: "M-.42-1.2H.42V-.42H1.2V.42H.42V1.2H-.42V.42H-1.2V-.42H-.42Z",
    X: "M0-.6L.6-1.2L1.2-.6L.6 0L1.2.6L.6 1.2L0 .6L-.6 1.2L-1.2 .6L-.6 0L-1.2-.6L-.6-1.2Z",
  };

  // The card is white on every page, as the other figures are.
  const PAGE = `<style>
    :host { all: initial; display: block; box-sizing: border-box; max-width: 100%; padding: 10px 12px; background: #fff;
      color: #1a1a1a; color-scheme: light; font: 14px/1.4 ${FONT}; border: 1px solid #dcdcdc; border-radius: 6px; }
    .bar, .legend, .group { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; }
    .bar { justify-content: space-between; gap: 8px 10px; }
    .group:empty { display: none; }
    .legend { gap: 2px; margin: 0 -8px; font-size: 13px; }
    button, input { box-sizing: border-box; min-height: 30px; padding: 3px 8px; font: inherit; color: inherit;
      background: #fff; border: 1px solid #b5b5b5; border-radius: 4px; }
    input { width: 6.5em; }
    button { cursor: pointer; }
    button:hover { background: #f1f1f1; }
    .states button[aria-pressed="true"] { background: #333; border-color: #333; color: #fff; }
    .legend button { display: flex; align-items: center; gap: 6px; border-color: transparent; }
    .legend button[aria-pressed="true"] { border-color: #333; }
    .legend.some button[aria-pressed="false"] { color: #6b6b6b; }
    .legend.some button[aria-pressed="false"] svg { opacity: 0.3; }
    svg { width: 14px; height: 14px; }
    canvas { display: block; width: 100%; max-height: 95vw; margin: 8px 0 4px; cursor: grab; touch-action: pan-y pinch-zoom; }
    canvas.drag { cursor: grabbing; }
    canvas.hit { cursor: pointer; }
    :focus-visible { outline: 2px solid #0072b2; outline-offset: 1px; }
    p { min-height: 2.8em; margin: 6px 0 0; overflow-wrap: anywhere; color: #555; font-size: 13px; }
    b { color: #1a1a1a; }
    @media (max-width: 480px) { p { min-height: 4.2em; } }
  </style>
  <div class="bar">
    <div class="group states" role="group" aria-label="States"></div>
    <label>Find <input type="search" list="words" autocomplete="off"></label>
    <div class="group" role="group" aria-label="View">
      <button class="out" aria-label="Zoom out">−</button>
      <button class="in" aria-label="Zoom in">+</button>
      <button class="reset">Reset view</button>
    </div>
  </div>
  <canvas tabindex="0" role="application" aria-roledescription="turnable plot"></canvas>
  <div class="legend" role="group" aria-label="Kinds"></div>
  <p aria-live="polite"></p>
  <datalist id="words"></datalist>`;

  const clamp = (value, [low, high]) => Math.min(Math.max(value, low), high);
  const radians = (degrees) => (degrees * Math.PI) / 180;

  // Axis 3 points up; at yaw and pitch 0, axis 1 points to the right and axis 2 away from the eye.
  function look([a, b, c], yaw, pitch) {
    const [cosYaw, sinYaw] = [Math.cos(radians(yaw)), Math.sin(radians(yaw))];
    const [cosPitch, sinPitch] = [Math.cos(radians(pitch)), Math.sin(radians(pitch))];
    const away = a * sinYaw + b * cosYaw;
    const depth = away * cosPitch - c * sinPitch;
    const near = CAMERA / (CAMERA + depth);
    return {
      right: (a * cosYaw - b * sinYaw) * near,
      up: (c * cosPitch + away * sinPitch) * near,
      depth,
      near,
    };
  }

  // How far points reach to the side and up when the view at the start is turned about axis 3.
  function measure(points) {
    const reach = [1e-3, 1e-3];
    for (let yaw = 0; yaw < 360; yaw += 15) {
      for (const position of points) {
        const { right, up } = look(position, yaw, START.pitch);
        reach[0] = Math.max(reach[0], Math.abs(right));
        reach[1] = Math.max(reach[1], Math.abs(up));
      }
    }
    return reach;
  }

  class View {
    constructor(host) {
      Object.assign(
        this,
        START,
        JSON.parse(host.querySelector("script[type='application/json']").textContent),
      );
      this.host = host;
      this.points = this.points.map((flat) =>
        this.names.map((_, i) => flat.slice(3 * i, 3 * i + 3).map((c) => c / 1000)),
      );
      this.outlines = this.markers.map((letter) => new Path2D(OUTLINES[letter]));
      this.extents = this.points.map(measure);
      this.state = 0;
      this.positions = this.points[0];
      this.extent = this.extents[0];
      this.chosen = new Set(); // kinds that stand out; none: all do
      this.hovered = null;
      this.selected = null;
      this.root = host.attachShadow({ mode: "open" });
      this.root.innerHTML = PAGE;
      this.canvas = this.root.querySelector("canvas");
      this.context = this.canvas.getContext("2d");
      this.line = this.root.querySelector("p");
      this.build();
      this.listen();
      new ResizeObserver(() => this.request()).observe(this.canvas);
      this.request();
    }

    // The page around the canvas

    build() {
      const many = this.states.length > 1;
      this.canvas.style.height = `${this.height}px`;
      this.canvas.setAttribute(
        "aria-label",
        `${this.names.length} points of ${this.kinds.length} kinds: ${this.kinds.join(", ")}. ` +
          "Arrow keys turn, plus and minus zoom, 0 resets, Escape lets go of a point.",
      );
      this.buttons(".states", many ? this.states : [], (state) => this.show(state));
      this.buttons(".legend", this.kinds, (kind) => this.choose(kind)).forEach((button, kind) => {
        const outline = OUTLINES[this.markers[kind]];
        const mark = `<svg viewBox="-1.4 -1.4 2.8 2.8" aria-hidden="true"><path d="${outline}"/></svg>`;
        button.insertAdjacentHTML("afterbegin", mark);
        button.querySelector("path").setAttribute("fill", this.colours[kind]);
      });
      const words = this.names.map((name) =>
        Object.assign(document.createElement("option"), { value: name }),
      );
      this.root.querySelector("datalist").append(...words);
      this.press();
      this.say();
    }

    buttons(place, texts, action) {
      const made = texts.map((text, index) => {
        const button = document.createElement("button");
        button.append(text);
        button.addEventListener("click", () => action(index));
        return button;
      });
      this.root.querySelector(place).append(...made);
      return made;
    }

    press() {
      const set = (place, pressed) =>
        this.root
          .querySelectorAll(`${place} button`)
          .forEach((button, index) => button.setAttribute("aria-pressed", pressed(index)));
      set(".states", (index) => index === this.state);
      set(".legend", (index) => this.chosen.has(index));
      this.root.querySelector(".legend").classList.toggle("some", this.chosen.size > 0);
    }

    say() {
      const { line } = this;
      const point = this.shown();
      if (point === null) {
        const scaled = this.states.length > 1 ? " Each state is scaled to fill the view." : "";
        return line.replaceChildren(HINT + scaled);
      }
      const word = document.createElement("b");
      word.append(this.names[point]);
      const nearest = this.neighbours(point).map((index) => this.names[index]);
      line.replaceChildren(word, ` (${this.kinds[this.kindOf[point]]})`);
      if (nearest.length) line.append(`; nearest in these three coordinates: ${nearest.join(", ")}`);
    }

    // What the reader does

    listen() {
      const click = (name, action) => this.root.querySelector(name).addEventListener("click", action);
      click(".out", () => this.turn(0, 0, 1 / 1.25));
      click(".in", () => this.turn(0, 0, 1.25));
      click(".reset", () => this.reset());
      this.root.querySelector("input").addEventListener("input", (event) => this.find(event.target.value));
      this.root.querySelector("input").addEventListener("change", () => this.selected !== null && this.announce());
      document.addEventListener(CHOSEN, ({ target, detail }) => target !== this.host && this.mark(detail));
      // Neither the page nor a notebook may take what is typed for one of its own shortcuts.
      this.root.querySelector("input").addEventListener("keydown", (event) => event.stopPropagation());
      const on = (type, action) => this.canvas.addEventListener(type, action);
      on("keydown", (event) => this.key(event));
      on("pointerdown", (event) => this.down(event));
      on("pointermove", (event) => this.move(event));
      on("pointerup", (event) => this.up(event));
      on("pointercancel", () => this.undo());
      on("lostpointercapture", () => this.drop());
      on("pointerleave", () => this.hover(null));
    }

    down(event) {
      if (event.button !== 0 || !event.isPrimary) return;
      const { yaw, pitch } = this;
      this.drag = { x: event.clientX, y: event.clientY, moved: false, start: { yaw, pitch } };
      this.canvas.setPointerCapture(event.pointerId);
    }

    move(event) {
      if (!event.isPrimary) return;
      if (!this.drag) return this.hover(event.pointerType === "touch" ? null : this.hit(event));
      const [x, y] = [event.clientX - this.drag.x, event.clientY - this.drag.y];
      if (!this.drag.moved && Math.hypot(x, y) < SLIP) return;
      Object.assign(this.drag, { x: event.clientX, y: event.clientY, moved: true });
      this.canvas.className = "drag";
      this.turn(x * TURN, y * TURN);
    }

    up(event) {
      if (!this.drag || this.drag.moved) return;
      this.select(this.hit(event));
      if (this.selected !== null) this.announce();
    }

    announce() {
      const detail = this.names[this.selected].trim();
      this.host.dispatchEvent(new CustomEvent(CHOSEN, { bubbles: true, detail }));
    }

    // The browser took the gesture of a finger to scroll the page.
    undo() {
      Object.assign(this, this.drag?.start);
      this.request();
    }

    drop() {
      this.drag = null;
      this.canvas.className = "";
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const action = {
        ArrowLeft: () => this.turn(-STEP, 0),
        ArrowRight: () => this.turn(STEP, 0),
        ArrowUp: () => this.turn(0, -STEP),
        ArrowDown: () => this.turn(0, STEP),
        "+": () => this.turn(0, 0, 1.25),
        "=": () => this.turn(0, 0, 1.25),
        "-": () => this.turn(0, 0, 1 / 1.25),
        0: () => this.reset(),
        Escape: () => this.select(null),
      }[event.key];
      if (!action) return;
      event.preventDefault();
      event.stopPropagation();
      action();
    }

    turn(yaw, pitch, zoom = 1) {
      this.yaw = ((((this.yaw + yaw + 180) % 360) + 360) % 360) - 180;
      this.pitch = clamp(this.pitch + pitch, [-90, 90]);
      this.zoom = clamp(this.zoom * zoom, ZOOMS);
      this.request();
    }

    reset() {
      Object.assign(this, START);
      this.chosen.clear();
      this.root.querySelector("input").value = "";
      this.press();
      this.select(null);
    }

    show(state) {
      this.state = state;
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.way = { from: this.positions, reach: this.extent, since: null, duration: calm ? 0 : DURATION };
      this.press();
      this.say();
      this.request();
    }

    choose(kind) {
      if (!this.chosen.delete(kind)) this.chosen.add(kind);
      this.press();
      this.request();
    }

    // The first name that is the text, otherwise the first that begins with it.
    find(text) {
      const wanted = text.trim().toLowerCase();
      const names = this.names.map((name) => name.trim().toLowerCase());
      const places = [names.indexOf(wanted), names.findIndex((name) => name.startsWith(wanted))];
      this.select(wanted ? (places.find((place) => place >= 0) ?? null) : null);
      if (wanted && this.selected === null) this.line.replaceChildren(`No point is called “${text.trim()}”.`);
    }

    // A word from elsewhere; one that is not among the points marks none.
    mark(word) {
      const point = this.names.findIndex((name) => name.trim() === word);
      this.select(point < 0 ? null : point);
    }

    hover(point) {
      this.canvas.className = point === null ? "" : "hit";
      if (point === this.hovered) return;
      this.hovered = point;
      this.say();
      this.request();
    }

    select(point) {
      this.selected = point;
      this.hovered = null;
      this.say();
      this.request();
    }

    // Geometry

    shown() {
      return this.hovered ?? this.selected;
    }

    stands(point) {
      return !this.chosen.size || this.chosen.has(this.kindOf[point]);
    }

    neighbours(point) {
      const all = this.points[this.state];
      const distance = (index) => Math.hypot(...all[index].map((c, axis) => c - all[point][axis]));
      const others = [...all.keys()]
        .filter((index) => index !== point)
        .map((index) => [distance(index), index]);
      return others
        .sort((a, b) => a[0] - b[0])
        .slice(0, NEIGHBOURS)
        .map(([, index]) => index);
    }

    project(position) {
      const { right, up, depth, near } = look(position, this.yaw, this.pitch);
      const { clientWidth: width, clientHeight: height } = this.canvas;
      const [wide, tall] = this.extent;
      const unit = this.zoom * Math.min((width / 2 - MARGIN) / wide, (height / 2 - MARGIN) / tall);
      return { x: width / 2 + right * unit, y: height / 2 - up * unit, depth, near };
    }

    hit(event) {
      const box = this.canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      let best = null;
      let reach = REACH[event.pointerType] ?? REACH.mouse;
      this.positions.forEach((position, point) => {
        const spot = this.project(position);
        const distance = Math.hypot(spot.x - x, spot.y - y);
        if (distance < reach && this.stands(point)) [best, reach] = [point, distance];
      });
      return best;
    }

    // Drawing

    request() {
      this.frame ??= requestAnimationFrame((time) => {
        this.frame = null;
        this.advance(time);
        this.draw();
        this.tell();
      });
    }

    advance(time) {
      if (!this.way) return;
      const since = (this.way.since ??= time);
      const { from, reach, duration } = this.way;
      const share = duration ? Math.min((time - since) / duration, 1) : 1;
      const eased = share * share * (3 - 2 * share);
      const between = (start, end) => end.map((value, i) => start[i] + eased * (value - start[i]));
      this.positions = this.points[this.state].map((to, point) => between(from[point], to));
      this.extent = between(reach, this.extents[this.state]);
      if (share === 1) this.way = null;
      else this.request();
    }

    tell() {
      const { dataset } = this.host;
      dataset.state = this.states[this.state];
      for (const name of ["yaw", "pitch", "zoom"]) dataset[name] = String(Math.round(this[name] * 100) / 100);
      dataset.shown = this.shown() === null ? "" : this.names[this.shown()];
      dataset.moving = String(Boolean(this.way));
    }

    draw() {
      const { canvas, context } = this;
      const ratio = window.devicePixelRatio || 1;
      const size = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.round(length * ratio));
      if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
      this.drawAxes();
      const spots = this.positions.map((position) => this.project(position));
      const shown = this.shown();
      const nearest = shown === null ? [] : this.neighbours(shown);
      const order = [...spots.keys()].sort((i, j) => spots[j].depth - spots[i].depth);
      for (const point of order) this.drawPoint(point, spots[point], false);
      if (shown === null) return;
      for (const other of nearest) this.drawLine(spots[shown], spots[other], "#444", 1.2);
      for (const point of [...nearest, shown]) this.drawPoint(point, spots[point], true);
      this.drawLabels([shown, ...nearest], spots);
    }

    drawLine(from, to, colour, width) {
      const { context } = this;
      context.globalAlpha = 1;
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y);
      context.stroke();
    }

    drawAxes() {
      const { context } = this;
      for (let axis = 0; axis < 3; axis += 1) {
        const end = [0, 0, 0].map((_, index) => (index === axis ? this.extent[axis === 2 ? 1 : 0] : 0));
        const [low, high, past] = [-0.9, 0.9, 0.96].map((length) => this.project(end.map((c) => c * length)));
        this.drawLine(low, high, "#dedede", 1);
        context.fillStyle = "#8a8a8a";
        context.font = `11px ${FONT}`;
        context.textAlign = "center";
        context.textBaseline = "middle";
        context.fillText(`axis ${axis + 1}`, past.x, past.y);
      }
    }

    drawPoint(point, spot, stressed) {
      const { context } = this;
      const side = Math.min(this.canvas.clientWidth, this.canvas.clientHeight);
      const size = clamp(side * MARK[0], MARK[1]) * spot.near ** 2 * (stressed ? 1.35 : 1);
      const light = clamp(0.72 - 0.4 * spot.depth, [0.35, 1]); // what is far is pale
      context.save();
      context.globalAlpha = stressed ? 1 : this.stands(point) ? light : 0.08;
      context.translate(spot.x, spot.y);
      context.scale(size, size);
      context.fillStyle = this.colours[this.kindOf[point]];
      context.strokeStyle = stressed ? "#1a1a1a" : "#fff";
      context.lineWidth = 1 / size;
      context.fill(this.outlines[this.kindOf[point]]);
      context.stroke(this.outlines[this.kindOf[point]]);
      context.restore();
    }

    // The first label always stands; another one only where it covers none before it.
    drawLabels(points, spots) {
      const { context } = this;
      const taken = [];
      const width = this.canvas.clientWidth;
      points.forEach((point, rank) => {
        context.font = `${rank ? "12px" : "600 14px"} ${FONT}`;
        const long = context.measureText(this.names[point]).width;
        const { x, y } = spots[point];
        const places = [
          [x + 9, y - 8],
          [x - 9 - long, y - 8],
          [x - long / 2, y - 25],
          [x - long / 2, y + 9],
        ];
        const boxes = places.map(([left, top]) => [left, top, left + long, top + 16]);
        const free = (box) =>
          taken.every((t) => box[2] < t[0] || box[0] > t[2] || box[3] < t[1] || box[1] > t[3]);
        const box = boxes.find((b) => b[0] >= 2 && b[2] <= width - 2 && free(b)) ?? (rank ? null : boxes[0]);
        if (!box) return;
        taken.push(box);
        context.globalAlpha = 1;
        context.textAlign = "left";
        context.textBaseline = "middle";
        context.lineJoin = "round";
        context.lineWidth = 4;
        context.strokeStyle = "#ffffffe0";
        context.fillStyle = "#1a1a1a";
        context.strokeText(this.names[point], box[0], box[1] + 8);
        context.fillText(this.names[point], box[0], box[1] + 8);
      });
    }
  }

  for (const host of document.querySelectorAll(".minillm-point-cloud")) if (!host.shadowRoot) new View(host);
})();
