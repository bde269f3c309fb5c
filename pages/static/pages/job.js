// One job, live: its state is asked for anew at each of its events; its output comes with them.

import { colourLogs, Log } from "./log.js";
import { showMoments } from "./moments.js";

const OVER = ["finished", "cancelled", "failed"];
const STATE_EVERY = 1000; // at most; many may change places at once
const HIDDEN_AFTER = 30000; // browsers open only six streams to a host: one that nobody sees ends
const HIDDEN_EVERY = 20000;
const RETRY_FIRST = 2000;
const RETRY_MOST = 60000;

const state = document.getElementById("state");
const logs = document.getElementById("logs");
const events = logs.dataset.events;

let source = null;
let lastId = "";
let isOver = !events;
let retry = RETRY_FIRST;
let attempt = 0;
let shown = {}; // by the log's name: {log, offset}
let stateDue = 0;
let stateAt = -STATE_EVERY;

// --- The state ---

function refreshState() {
  clearTimeout(stateDue);
  const pause = Math.max(0, stateAt + STATE_EVERY - performance.now());
  stateDue = setTimeout(() => {
    stateAt = performance.now();
    htmx.trigger(state, "refresh");
  }, pause);
}

function tell() {
  const news = document.getElementById("news");
  const words = document.getElementById("headline")?.textContent ?? "";
  if (news.textContent !== words) news.textContent = words;
}

document.addEventListener("htmx:afterSwap", (event) => {
  showMoments(event.target);
  if (event.target === state) tell();
  if (event.target === logs) showLogs("pre"); // who has watched it sees its end
});

// --- The output ---

function begin(number) {
  if (attempt) for (const { log } of Object.values(shown)) log.clear();
  attempt = number;
  for (const name of ["compile", "execute"]) {
    const section = document.getElementById(`${name}-live`);
    shown[name] ??= {
      section,
      log: new Log(section.querySelector("pre"), section.querySelector(".left-out")),
    };
    section.hidden = true;
    shown[name].offset = 0;
  }
}

function output({ attempt: number, log: name, offset, text }) {
  if (number !== attempt) begin(number);
  const place = shown[name];
  if (!place) return;
  place.section.hidden = false;
  if (offset > place.offset) place.log.write(`\n[... ${offset - place.offset} bytes left out ...]\n`);
  place.offset = offset + size(text);
  place.log.write(text);
}

// In bytes: what is no UTF-8 stands as U+DC80 to U+DCFF, a byte each.
function size(text) {
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0);
    const isByte = code >= 0xdc80 && code <= 0xdcff;
    bytes += code < 0x80 || isByte ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}

// Logs of a job that is over; those that `atEnd` selects from their end.
function showLogs(atEnd) {
  colourLogs(logs);
  for (const place of logs.querySelectorAll(atEnd)) place.scrollTop = place.scrollHeight;
}

// --- The stream ---

function open() {
  if (isOver || source) return;
  source = new EventSource(lastId ? `${events}?after=${encodeURIComponent(lastId)}` : events);
  source.addEventListener("job", (event) => {
    lastId = event.lastEventId;
    retry = RETRY_FIRST;
    refreshState();
    if (OVER.includes(JSON.parse(event.data).state)) end();
  });
  source.addEventListener("output", (event) => {
    lastId = event.lastEventId;
    output(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    // Where it is only cut, the browser opens it anew by itself.
    if (!source || source.readyState !== EventSource.CLOSED) return;
    close();
    refreshState(); // who is logged out is led to the log-in by that
    setTimeout(open, retry);
    retry = Math.min(2 * retry, RETRY_MOST);
  });
}

function close() {
  source?.close();
  source = null;
}

function end() {
  isOver = true;
  close();
  htmx.trigger(logs, "refresh");
}

let hiding = 0;

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(hide, HIDDEN_AFTER);
  else if (!isOver && !source) {
    refreshState();
    open();
  }
});

function hide() {
  close();
  if (isOver || !document.hidden) return;
  refreshState(); // for the tab's title
  hiding = setTimeout(hide, HIDDEN_EVERY);
}

window.addEventListener("pagehide", close);
window.addEventListener("pageshow", open);
showLogs("pre[data-end]");
open();
