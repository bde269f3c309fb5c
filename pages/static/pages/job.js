// One job, live: its state is asked for anew at each of its events; its output comes with them.

import { follow } from "../telerun/follow.js";
import { colourLogs } from "../telerun/log.js";
import { showMoments } from "./moments.js";

const STATE_EVERY = 1000; // at most; many may change places at once

const state = document.getElementById("state");
const logs = document.getElementById("logs");

let stateDue = 0;
let stateAt = -STATE_EVERY;

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

// Logs of a job that is over; those that `atEnd` selects from their end.
function showLogs(atEnd) {
  colourLogs(logs);
  for (const place of logs.querySelectorAll(atEnd)) place.scrollTop = place.scrollHeight;
}

showLogs("pre[data-end]");
if (logs.dataset.events) {
  follow(logs.dataset.events, {
    changed: refreshState,
    ended: () => htmx.trigger(logs, "refresh"),
  });
}
