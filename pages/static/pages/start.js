// The list of jobs, asked for again and again: often while something goes on.

import { showMoments } from "./moments.js";

const OFTEN = 4000;
const SELDOM = 30000;
const start = document.getElementById("start");

function wait() {
  const isLive = document.getElementById("list")?.dataset.live === "yes";
  setTimeout(refresh, isLive && !document.hidden ? OFTEN : SELDOM);
}

let isUnderWay = false;

function refresh() {
  isUnderWay = true;
  htmx.trigger(start, "refresh");
}

// Told by a screen reader: what changed of the newest one.
function tell() {
  const news = document.getElementById("news");
  const words = document.title.replace(" · Telerun", "");
  if (news.textContent !== words) news.textContent = words;
}

document.addEventListener("htmx:afterSwap", () => {
  showMoments(start);
  tell();
});
document.addEventListener("htmx:afterRequest", () => {
  if (isUnderWay) wait();
  isUnderWay = false;
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !isUnderWay) refresh();
});
wait();
