// The few words that the widgets show, in the page's language.

import { app } from "../../../scripts/app.js";

const CHINESE = {
  "drag the handle": "拖动手柄",
  "run the workflow to compare": "运行工作流后即可比较",
  "position on the pad": "面板上的位置",
  "border between the images": "两张图像的分界",
  "previous pair": "上一对",
  "next pair": "下一对",
  "preview": "预览",
  "muted": "节点已停用",
  "interrupted": "已中断",
  "connection lost": "连接已断开",
  "no answer": "没有回应",
};

/** A text in the page's language, English where there is no translation. */
export function text(english) {
  const locale = app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en";
  return String(locale).startsWith("zh") ? (CHINESE[english] ?? english) : english;
}

/** An element with a class, attributes and children. */
export function element(tag, className, attributes = {}, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Add a style sheet to the page once. */
export function style(id, sheet) {
  if (document.getElementById(id)) return;
  const made = document.createElement("style");
  made.id = id;
  made.textContent = sheet;
  document.head.append(made);
}
