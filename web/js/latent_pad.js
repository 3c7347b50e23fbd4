// Ganvas_LatentPad: a square with a handle for two strengths, and the face that they give.

import { app } from "../../../scripts/app.js";
import { runNode } from "./partial_run.js";
import { element, style, text } from "./texts.js";

const NODE = "Ganvas_LatentPad";
const HEIGHT = 220;
const WIDTH = 410;
const REACH = 5; // the widgets' limits

style(
  "ganvas-pad-style",
  `
  .ganvas-pad { display: flex; gap: 8px; width: 100%; height: 100%; box-sizing: border-box;
    flex-direction: column; font: 12px sans-serif; color: #ccc; user-select: none; }
  .ganvas-pad-row { display: flex; gap: 8px; flex: 1; min-height: 0; container-type: size;
    justify-content: center; align-items: center; }
  .ganvas-pad-plane, .ganvas-pad-face { position: relative; aspect-ratio: 1; flex: none;
    width: min(calc(50cqw - 4px), 100cqh); box-sizing: border-box; border-radius: 6px;
    overflow: hidden; background: #1b1b1f; border: 1px solid #4a4a52; }
  .ganvas-pad-plane { cursor: crosshair; touch-action: none; outline-offset: 2px;
    background-image: linear-gradient(#0000 calc(50% - 1px), #666 calc(50% - 1px),
      #666 calc(50% + 1px), #0000 calc(50% + 1px)), linear-gradient(90deg,
      #0000 calc(50% - 1px), #666 calc(50% - 1px), #666 calc(50% + 1px), #0000 calc(50% + 1px)),
      repeating-linear-gradient(#0000 0 calc(10% - 1px), #333 calc(10% - 1px) 10%),
      repeating-linear-gradient(90deg, #0000 0 calc(10% - 1px), #333 calc(10% - 1px) 10%); }
  .ganvas-pad-handle { position: absolute; width: 16px; height: 16px; margin: -8px 0 0 -8px;
    border-radius: 50%; background: #4f9dff; border: 2px solid #fff; box-sizing: border-box;
    pointer-events: none; }
  .ganvas-pad-face img { width: 100%; height: 100%; object-fit: contain; display: block; }
  .ganvas-pad-face img:not([src]) { visibility: hidden; }
  .ganvas-pad-text { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
  .ganvas-pad-text.failed { color: #ff8a80; }
  `,
);

class LatentPad {
  constructor(node) {
    this.node = node;
    this.running = false;
    this.again = false;
    this.handle = element("div", "ganvas-pad-handle");
    this.plane = element(
      "div",
      "ganvas-pad-plane",
      { tabindex: "0", role: "application", "aria-label": text("position on the pad") },
      this.handle,
    );
    this.image = element("img", "", { alt: text("preview"), draggable: "false" });
    this.caption = element("div", "ganvas-pad-text");
    this.root = element(
      "div",
      "ganvas-pad",
      {},
      element(
        "div",
        "ganvas-pad-row",
        {},
        this.plane,
        element("div", "ganvas-pad-face", {}, this.image),
      ),
      this.caption,
    );
    this.plane.addEventListener("pointerdown", (event) => this.grab(event));
    this.plane.addEventListener("pointermove", (event) => this.drag(event));
    this.plane.addEventListener("dblclick", () => this.move(0, 0));
    this.plane.addEventListener("keydown", (event) => this.press(event));
    this.root.addEventListener("wheel", (event) => app.canvas?.processMouseWheel?.(event));
    for (const name of ["x", "y"]) {
      const widget = this.widget(name);
      const callback = widget.callback;
      widget.callback = (...values) => {
        this.place();
        return callback?.apply(widget, values);
      };
    }
    this.say(text("drag the handle"));
    this.place();
  }

  widget(name) {
    return this.node.widgets.find((widget) => widget.name === name);
  }

  value(name) {
    return Number(this.widget(name).value) || 0;
  }

  grab(event) {
    if (event.button !== 0) return;
    event.stopPropagation();
    event.preventDefault();
    this.plane.focus({ preventScroll: true });
    this.plane.setPointerCapture(event.pointerId);
    this.follow(event);
  }

  drag(event) {
    if (this.plane.hasPointerCapture(event.pointerId)) this.follow(event);
  }

  /** Move the handle to the pointer, inside the square. */
  follow(event) {
    const box = this.plane.getBoundingClientRect();
    this.move(
      ((event.clientX - box.left) / box.width) * 2 * REACH - REACH,
      REACH - ((event.clientY - box.top) / box.height) * 2 * REACH,
    );
  }

  press(event) {
    const step = event.shiftKey ? 1 : 0.1;
    const by = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, step],
      ArrowDown: [0, -step],
    }[event.key];
    if (event.key === "Home") this.move(0, 0);
    else if (by) this.move(this.value("x") + by[0], this.value("y") + by[1]);
    else return;
    event.stopPropagation();
    event.preventDefault();
  }

  /** Set both widgets, and ask for the face there. */
  move(x, y) {
    for (const [name, value] of [
      ["x", x],
      ["y", y],
    ]) {
      const limited = Math.max(-REACH, Math.min(REACH, value));
      const widget = this.widget(name);
      widget.value = Math.round(limited * 100) / 100;
      widget.callback?.(widget.value, app.canvas, this.node);
    }
    this.node.graph?.setDirtyCanvas(true, true);
    this.preview();
  }

  /** Put the handle where the widgets say. */
  place() {
    this.handle.style.left = `${((this.value("x") + REACH) / (2 * REACH)) * 100}%`;
    this.handle.style.top = `${((REACH - this.value("y")) / (2 * REACH)) * 100}%`;
  }

  /** Ask for the face, one request at a time; the newest place is always asked for. */
  async preview() {
    this.again = true;
    if (this.running) return;
    this.running = true;
    while (this.again) {
      this.again = false;
      try {
        this.show(await runNode(this.node));
      } catch (error) {
        this.say(text(error.message), true);
      }
    }
    this.running = false;
  }

  /** Show what the node gave, in a run of the pad's or of the whole workflow. */
  show(output) {
    const shown = output?.ganvas_pad?.at(-1);
    if (!shown) return;
    this.image.src = shown.image;
    this.say(`x ${shown.x.toFixed(2)}   y ${shown.y.toFixed(2)}`);
  }

  say(words, failed = false) {
    this.caption.textContent = words;
    this.caption.title = words;
    this.caption.classList.toggle("failed", failed);
  }
}

app.registerExtension({
  name: "ganvas.latent_pad",

  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const pad = new LatentPad(node);
    const widget = node.addDOMWidget("pad", "ganvas_pad", pad.root, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => HEIGHT,
    });
    widget.serialize = false; // x and y are what a workflow keeps
    const { onExecuted, onConfigure } = node;
    node.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      pad.show(output);
    };
    node.onConfigure = function () {
      onConfigure?.apply(this, arguments);
      pad.place();
    };
    node.setSize([Math.max(node.size[0], WIDTH), Math.max(node.size[1], node.computeSize()[1])]);
  },
});
