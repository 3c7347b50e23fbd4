// Ganvas_CompareImages: two images under a slider, and how close they are.

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { element, style, text } from "./texts.js";

const NODE = "Ganvas_CompareImages";
const HEIGHT = 260;
const WIDTH = 320;

style(
  "ganvas-compare-style",
  `
  .ganvas-compare { display: flex; flex-direction: column; gap: 6px; width: 100%; height: 100%;
    box-sizing: border-box; font: 12px sans-serif; color: #ccc; user-select: none; }
  .ganvas-compare-view { position: relative; flex: 1; min-height: 0; overflow: hidden;
    background: #1b1b1f; border-radius: 6px; cursor: ew-resize; touch-action: none;
    outline-offset: 2px; }
  .ganvas-compare-view img { position: absolute; inset: 0; width: 100%; height: 100%;
    object-fit: contain; pointer-events: none; }
  .ganvas-compare-view img:not([src]) { visibility: hidden; }
  .ganvas-compare-line { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px;
    background: #fff; pointer-events: none; }
  .ganvas-compare-letter { position: absolute; top: 4px; padding: 0 5px; border-radius: 3px;
    background: #000a; pointer-events: none; }
  .ganvas-compare-row { display: flex; align-items: center; gap: 6px; min-height: 20px; }
  .ganvas-compare-row button { background: #333; color: inherit; border: 0; border-radius: 3px;
    width: 22px; height: 20px; cursor: pointer; }
  .ganvas-compare-text { flex: 1; text-align: center; white-space: nowrap; overflow: hidden;
    text-overflow: ellipsis; }
  `,
);

class Comparison {
  constructor() {
    this.pairs = [];
    this.index = 0;
    this.share = 0.5;
    this.right = element("img", "", { alt: "B", draggable: "false" });
    this.left = element("img", "", { alt: "A", draggable: "false" });
    this.line = element("div", "ganvas-compare-line");
    this.view = element(
      "div",
      "ganvas-compare-view",
      {
        tabindex: "0",
        role: "slider",
        "aria-label": text("border between the images"),
        "aria-valuemin": "0",
        "aria-valuemax": "100",
      },
      this.right,
      this.left,
      this.line,
      element("span", "ganvas-compare-letter", { style: "left: 4px" }, "A"),
      element("span", "ganvas-compare-letter", { style: "right: 4px" }, "B"),
    );
    this.words = element("span", "ganvas-compare-text");
    this.back = element("button", "", { title: text("previous pair") }, "‹");
    this.forth = element("button", "", { title: text("next pair") }, "›");
    this.root = element(
      "div",
      "ganvas-compare",
      {},
      this.view,
      element("div", "ganvas-compare-row", {}, this.back, this.words, this.forth),
    );
    this.back.onclick = () => this.step(-1);
    this.forth.onclick = () => this.step(1);
    this.view.addEventListener("pointerdown", (event) => this.grab(event));
    this.view.addEventListener("pointermove", (event) => {
      if (this.view.hasPointerCapture(event.pointerId)) this.follow(event);
    });
    this.view.addEventListener("keydown", (event) => this.press(event));
    this.root.addEventListener("wheel", (event) => app.canvas?.processMouseWheel?.(event));
    this.slide(this.share);
    this.draw();
  }

  grab(event) {
    if (event.button !== 0) return;
    event.stopPropagation();
    event.preventDefault();
    this.view.focus({ preventScroll: true });
    this.view.setPointerCapture(event.pointerId);
    this.follow(event);
  }

  follow(event) {
    const box = this.view.getBoundingClientRect();
    this.slide((event.clientX - box.left) / box.width);
  }

  press(event) {
    const by = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
    if (by === undefined) return;
    this.slide(this.share + by);
    event.stopPropagation();
    event.preventDefault();
  }

  /** Put the border at a share of the width: A is to its left, B to its right. */
  slide(share) {
    this.share = Math.max(0, Math.min(1, share));
    const percent = this.share * 100;
    this.left.style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
    this.line.style.left = `${percent}%`;
    this.view.setAttribute("aria-valuenow", String(Math.round(percent)));
  }

  /** Take over what a run gave. */
  show(output) {
    if (!output?.a_images?.length) return;
    this.pairs = output.a_images.map((a, index) => ({
      a,
      b: output.b_images[index],
      scores: output.ganvas_scores?.[index],
    }));
    this.index = Math.min(this.index, this.pairs.length - 1);
    this.draw();
  }

  step(by) {
    if (!this.pairs.length) return;
    this.index = (this.index + by + this.pairs.length) % this.pairs.length;
    this.draw();
  }

  draw() {
    const pair = this.pairs[this.index];
    const several = this.pairs.length > 1;
    this.back.hidden = this.forth.hidden = !several;
    if (!pair) {
      this.words.textContent = text("run the workflow to compare");
      return;
    }
    this.left.src = address(pair.a);
    this.right.src = address(pair.b);
    const place = several ? [`${this.index + 1}/${this.pairs.length}`] : [];
    const { psnr, ssim } = pair.scores ?? {};
    if (pair.scores) {
      place.push(`PSNR ${psnr === null ? "∞" : psnr.toFixed(2)} dB`, `SSIM ${ssim.toFixed(4)}`);
    }
    this.words.textContent = place.join("   ");
  }
}

/** The address of a file that a node has shown. */
function address({ filename, type, subfolder }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, type, subfolder })}`);
}

app.registerExtension({
  name: "ganvas.compare_images",

  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const comparison = new Comparison();
    const widget = node.addDOMWidget("slider", "ganvas_compare", comparison.root, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => HEIGHT,
    });
    widget.serialize = false;
    const { onExecuted, onConfigure } = node;
    node.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      comparison.show(output);
    };
    node.onConfigure = function () {
      onConfigure?.apply(this, arguments);
      comparison.show(app.nodeOutputs?.[this.id]); // another tab's workflow, shown again
    };
    node.setSize([Math.max(node.size[0], WIDTH), Math.max(node.size[1], node.computeSize()[1])]);
  },
});
