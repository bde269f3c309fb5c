// A job, live: its stream of events, and what its program prints as it comes.

import { Log } from "./log.js";

const OVER = ["finished", "cancelled", "failed"];
const HIDDEN_AFTER = 30000; // browsers open only six streams to a host: one that nobody sees ends
const HIDDEN_EVERY = 20000;
const RETRY_FIRST = 2000;
const RETRY_MOST = 60000;

// Follows the job whose stream is at `events` to its end. `changed(job)` is called at each change of
// it, and without a job where something may have changed; `ended()` once it is over. Output goes to
// the sections `compile-live` and `execute-live` of the page.
export function follow(events, { changed, ended }) {
  const output = new Output();
  let source = null;
  let lastId = "";
  let isOver = false;
  let retry = RETRY_FIRST;
  let hiding = 0;

  function open() {
    if (isOver || source) return;
    source = new EventSource(lastId ? `${events}?after=${encodeURIComponent(lastId)}` : events);
    source.addEventListener("job", (event) => {
      const job = JSON.parse(event.data);
      lastId = event.lastEventId;
      retry = RETRY_FIRST;
      changed(job);
      if (OVER.includes(job.state)) {
        isOver = true;
        close();
        ended();
      }
    });
    source.addEventListener("output", (event) => {
      lastId = event.lastEventId;
      output.add(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      // Where it is only cut, the browser opens it anew by itself.
      if (!source || source.readyState !== EventSource.CLOSED) return;
      close();
      changed(null); // who is logged out is led to the log-in by that
      setTimeout(open, retry);
      retry = Math.min(2 * retry, RETRY_MOST);
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  function hide() {
    close();
    if (isOver || !document.hidden) return;
    changed(null); // for the tab's title
    hiding = setTimeout(hide, HIDDEN_EVERY);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(hide, HIDDEN_AFTER);
    else if (!isOver && !source) {
      changed(null);
      open();
    }
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  open();
}

// What the latest attempt has printed.
class Output {
  constructor() {
    this.attempt = 0;
    this.shown = {}; // by the log's name: {section, log, offset}
  }

  begin(number) {
    if (this.attempt) for (const { log } of Object.values(this.shown)) log.clear();
    this.attempt = number;
    for (const name of ["compile", "execute"]) {
      const section = document.getElementById(`${name}-live`);
      this.shown[name] ??= {
        section,
        log: new Log(section.querySelector("pre"), section.querySelector(".left-out")),
      };
      section.hidden = true;
      this.shown[name].offset = 0;
    }
  }

  add({ attempt, log: name, offset, text }) {
    if (attempt !== this.attempt) this.begin(attempt);
    const place = this.shown[name];
    if (!place) return;
    place.section.hidden = false;
    const gap = offset - place.offset;
    if (gap > 0) place.log.write(`\n[... ${gap} bytes left out ...]\n`);
    place.offset = offset + size(text);
    place.log.write(text);
  }
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
