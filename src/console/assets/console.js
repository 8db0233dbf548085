// Keys, paste and drop, and the slider. Every page works without it.
"use strict";

const DECISIONS = "fpan";
const isTyping = (target) => target.closest("input:not([type=range]), select, textarea, [contenteditable]");

function press(key) {
  const button = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (button) button.click();
  return Boolean(button);
}

function tell(text) {
  const line = document.createElement("p");
  line.textContent = text;
  document.querySelector("#notice").replaceChildren(line);
}

function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  if (next) next.focus();
  return rows.length > 0;
}

function toggleReference() {
  document.querySelector(".laid")?.classList.toggle("bare");
}

// People who dictate, or type with one hand, can turn single keys off; the browser remembers it.
const keysOn = () => localStorage.getItem("keys") !== "off";
const keysSwitch = document.querySelector("#keys-on");
if (keysSwitch) {
  keysSwitch.checked = keysOn();
  keysSwitch.addEventListener("change", () => localStorage.setItem("keys", keysSwitch.checked ? "on" : "off"));
}

const keys = {
  j: () => step(1) || press("j"),
  k: () => step(-1) || history.back(),
  q: () => press("q") || location.assign("/console/queue"),
  l: () => location.assign("/console/lookup"),
  o: () => location.assign("/console/overview"),
  x: toggleReference,
  "/": () => document.querySelector("#filters select, #filters input, main input:not([type=hidden])")?.focus(),
  "?": () => document.querySelector("#help")?.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (document.querySelector("dialog[open]")) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (!keysOn()) return;
  // In a case, whose only list is the similar references, j goes on to the next case.
  const inCase = document.querySelector('[data-key="j"]');
  if (event.key === "j" && inCase) press("j");
  else if (event.key === "k" && inCase) history.back();
  else if (keys[event.key]) keys[event.key]();
  else if (DECISIONS.includes(event.key) && performance.now() - came < EYES) return;
  else if (!(DECISIONS + "urc").includes(event.key)) return;
  else if (!press(event.key)) tell(inCase && DECISIONS.includes(event.key) && document.querySelector('[data-key="c"]') ? "Take the case first: c." : "That key does nothing here.");
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  if (event.target.closest('[data-key="?"]')) document.querySelector("#help")?.showModal();
});

document.addEventListener("input", (event) => {
  if (event.target.id !== "wipe") return;
  const pane = document.querySelector("#pane");
  const edge = document.querySelector("#edge");
  const x = (pane.dataset.width * event.target.value) / 100;
  pane.setAttribute("width", x);
  edge.setAttribute("x1", x);
  edge.setAttribute("x2", x);
});

// A form is sent once: a second press of a key must not decide twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  // After a download the page stays as it was.
  setTimeout(() => delete form.dataset.sent, 2000);
});
addEventListener("pageshow", () => document.querySelectorAll("[data-sent]").forEach((form) => delete form.dataset.sent));

// A key meant for the previous case must not decide the case that has just loaded.
const EYES = 250;
let came = -EYES;
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id !== "main") return;
  came = performance.now();
  event.target.focus({ preventScroll: true });
});

document.addEventListener("htmx:sendError", () => {
  tell("The service does not answer. Look whether it was done before you try again.");
});

function send(file) {
  const input = document.querySelector("#photo");
  if (!input || !file || !file.type.startsWith("image/")) return;
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  input.form.requestSubmit();
}

document.querySelector("#photo")?.addEventListener("change", (event) => event.target.files.length && event.target.form.requestSubmit());

const drop = document.querySelector("#drop");
if (drop) {
  document.addEventListener("paste", (event) => send([...(event.clipboardData?.files ?? [])][0]));
  document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); send(event.dataTransfer?.files[0]); });
}
