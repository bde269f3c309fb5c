// A job's page for staff: live until the job is over, and scrolled to what its reader looks for.

import { follow } from "../telerun/follow.js";

const STATE_EVERY = 1000; // at most; many may change places at once
const RELOAD_AFTER = 1000; // a page that has just been loaded

const state = document.getElementById("state");
const news = document.getElementById("news");
const { events, now, address } = state.dataset;

let due = 0;
let askedAt = -STATE_EVERY;
let isReloading = false;

// Another state has other buttons, logs and links.
function reload() {
  if (isReloading) return;
  isReloading = true;
  setTimeout(() => location.reload(), Math.max(0, RELOAD_AFTER - performance.now()));
}

function refresh() {
  clearTimeout(due);
  due = setTimeout(ask, Math.max(0, askedAt + STATE_EVERY - performance.now()));
}

async function ask() {
  askedAt = performance.now();
  let answer;
  try {
    answer = await fetch(address);
  } catch {
    return; // the stream says when the server is back
  }
  if (answer.redirected || answer.status === 403 || answer.status === 404) return reload();
  if (!answer.ok) return;
  // The server's own page, in which all is escaped.
  const parts = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of parts.querySelectorAll("template")) {
    const place = document.getElementById(part.dataset.part);
    // Left alone where nothing is new: somebody may be reading, or about to press a link.
    if (place.innerHTML.trim() !== part.innerHTML.trim()) place.replaceChildren(part.content);
  }
  const words = state.querySelector(".verdict")?.textContent.trim() ?? "";
  if (news.textContent !== words) news.textContent = words;
  tick();
}

function tick() {
  for (const place of state.querySelectorAll("[data-elapsed]")) {
    place.since ??= performance.now() - 1000 * Number(place.dataset.elapsed);
    const seconds = Math.floor((performance.now() - place.since) / 1000);
    const text = seconds < 100 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    if (place.textContent !== text) place.textContent = text;
  }
}

if (events) {
  setInterval(tick, 1000);
  follow(events, {
    changed: (job) => (job && job.state !== now ? reload() : refresh()),
    ended: reload,
  });
}

// Inside their own boxes: the page itself stays where it is.
for (const box of document.querySelectorAll("[data-end]")) toEnd(box, 5);
for (const box of document.querySelectorAll(".source")) show(box, box.querySelector(".wrong-line"));
window.addEventListener("hashchange", open);
open();

// What is not seen yet has a guessed height, which is known a frame later.
function toEnd(box, frames) {
  box.scrollTop = box.scrollHeight;
  if (frames > 0) requestAnimationFrame(() => toEnd(box, frames - 1));
}

function show(box, line) {
  if (!line) return;
  const top = line.getBoundingClientRect().top - box.getBoundingClientRect().top;
  box.scrollTop += top - box.clientHeight / 3;
}

// A line that an address names may be in a file that is folded.
function open() {
  const name = location.hash.slice(1);
  const line = name && document.getElementById(name);
  if (!line) return;
  for (let at = line.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
  line.scrollIntoView({ block: "center" });
}
