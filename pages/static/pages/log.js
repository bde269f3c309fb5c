// What a program printed, shown as a terminal would: colours, and lines that are written anew.
// All of it is text: nothing that a program prints becomes an element, a script or an address.

const MOST_CHARACTERS = 256 * 1024; // more would slow the browser down
const MOST_LINES = 5000;
const LONGEST = 4096; // a line is shown in parts of this length

const TOKEN = /\x1b\[[0-9;]*[mK]|\r\n|[\n\r\b]|[^\x1b\n\r\b]+|\x1b/gu;
const BEGUN = /(?:\x1b(?:\[[0-9;]*)?|\r)$/; // may go on in what comes next
// As foundation/text.py spells them: control characters, changes of direction, and bytes that are
// no UTF-8 (U+DC80 to U+DCFF). With `u` half of a pair is none of them.
const UNSEEN =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu;

function spelled(text) {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0);
    const byte = code >= 0xdc80 && code <= 0xdcff ? code - 0xdc00 : code;
    return byte < 0x100
      ? "\\x" + byte.toString(16).padStart(2, "0")
      : "\\u" + byte.toString(16).padStart(4, "0");
  });
}

export class Log {
  // `place` is a <pre>; `note` is shown once something is left out, and may be null.
  constructor(place, note) {
    this.place = place;
    this.note = note;
    this.clear();
  }

  clear() {
    this.place.replaceChildren();
    this.parts = []; // of lines: {element, size}
    this.size = 0;
    this.colour = "";
    this.isBold = false;
    this.begun = "";
    this.waiting = [];
    this.waitingSize = 0;
    this.isReturned = false; // the next character begins the line anew
    this.beginPart(this.place);
  }

  // Shown with the next frame: a program may print faster than a browser draws.
  write(text) {
    this.waiting.push(text);
    this.waitingSize += text.length;
    while (this.waitingSize > 2 * MOST_CHARACTERS && this.waiting.length > 1) {
      this.waitingSize -= this.waiting.shift().length;
      this.leaveOut();
    }
    if (!this.isDue) {
      this.isDue = true;
      // A tab that is not seen draws no frames.
      document.hidden ? setTimeout(() => this.flush(), 200) : requestAnimationFrame(() => this.flush());
    }
  }

  flush() {
    this.isDue = false;
    const atEnd = this.place.scrollHeight - this.place.scrollTop - this.place.clientHeight < 40;
    const text = this.begun + this.waiting.join("");
    this.waiting = [];
    this.waitingSize = 0;
    this.begun = BEGUN.exec(text)?.[0] ?? "";
    const whole = text.slice(0, text.length - this.begun.length);
    const fragment = document.createDocumentFragment();
    for (const [token] of whole.matchAll(TOKEN)) this.take(token, fragment);
    this.place.append(fragment);
    this.shorten();
    if (atEnd) this.place.scrollTop = this.place.scrollHeight;
  }

  // Nothing more comes.
  end() {
    if (this.begun && this.begun !== "\r") this.addText(spelled(this.begun), this.place);
    this.begun = "";
  }

  take(token, fragment) {
    if (token === "\n" || token === "\r\n") {
      this.append("\n");
      this.isReturned = false;
      this.beginPart(fragment);
    } else if (token === "\r") {
      this.isReturned = true;
    } else if (token === "\b") {
      this.back();
    } else if (token.startsWith("\x1b[") && token.endsWith("m")) {
      this.style(token.slice(2, -1));
    } else if (token.startsWith("\x1b[") && token.endsWith("K")) {
      if (this.isReturned || token === "\x1b[2K") this.isReturned = true;
    } else {
      if (this.isReturned) this.beginAnew();
      this.addText(spelled(token), fragment);
    }
  }

  addText(text, fragment) {
    for (let at = 0; at < text.length; at += LONGEST) {
      if (this.part.size > LONGEST) this.beginPart(fragment);
      this.append(text.slice(at, at + LONGEST));
    }
  }

  append(text) {
    const classes = [this.colour, this.isBold ? "bold" : ""].filter(Boolean).join(" ");
    let last = this.part.element.lastChild;
    if (!last || last.className !== classes) {
      last = document.createElement("span");
      last.className = classes;
      this.part.element.append(last);
    }
    last.append(text);
    this.part.size += text.length;
    this.size += text.length;
  }

  beginPart(parent) {
    this.part = { element: document.createElement("span"), size: 0 };
    this.parts.push(this.part);
    parent.append(this.part.element);
  }

  beginAnew() {
    this.size -= this.part.size;
    this.part.size = 0;
    this.part.element.replaceChildren();
    this.isReturned = false;
  }

  back() {
    const last = this.part.element.lastChild;
    const text = last?.textContent ?? "";
    if (!text || text.endsWith("\n")) return;
    const shorter = [...text].slice(0, -1).join("");
    last.textContent = shorter;
    this.size -= text.length - shorter.length;
    this.part.size -= text.length - shorter.length;
    if (!shorter) last.remove();
  }

  // SGR: eight colours in two strengths, and bold; what else there is changes nothing.
  style(codes) {
    const numbers = codes.split(";").map(Number);
    for (let at = 0; at < numbers.length; at++) {
      const code = numbers[at];
      if (code === 0) {
        this.colour = "";
        this.isBold = false;
      } else if (code === 1) this.isBold = true;
      else if (code === 22) this.isBold = false;
      else if (code === 39) this.colour = "";
      else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) this.colour = `sgr-${code % 10}`;
      else if (code === 38 || code === 48) at += numbers[at + 1] === 5 ? 2 : 4; // others' colours
    }
  }

  shorten() {
    let count = 0;
    while (this.parts.length - count > 1 && (this.size > MOST_CHARACTERS || this.parts.length - count > MOST_LINES)) {
      this.size -= this.parts[count].size;
      this.parts[count].element.remove();
      count++;
    }
    if (count) {
      this.parts.splice(0, count);
      this.leaveOut();
    }
  }

  leaveOut() {
    if (this.note) this.note.hidden = false;
  }
}

// Logs that the page holds whole: those with colours are shown anew, with them.
export function colourLogs(within) {
  for (const place of within.querySelectorAll("pre[data-raw]")) {
    const raw = JSON.parse(place.dataset.raw);
    place.removeAttribute("data-raw");
    const log = new Log(place, null);
    log.write(raw);
    log.flush();
    log.end();
    place.scrollTop = 0;
  }
}
