// What a program printed, shown as a terminal would: colours, and lines that are written anew.
// All of it is text: nothing that a program prints becomes an element, a script or an address.

const MOST = 128 * 1024; // characters, of which a line's end counts as many; more is slow to draw
const LINE_END = 20;
const CHUNK = 8 * 1024; // what is laid out together: whole lines, but for a very long one

const TOKEN = /\x1b\[[0-9;]*[mK]|\r\n|[\r\b]|[^\x1b\r\b]+|\x1b/gu;
const BEGUN = /(?:\x1b(?:\[[0-9;]*)?|\r)$/; // may go on in what comes next
// As foundation/text.py spells them: control characters, changes of direction, and bytes that are
// no UTF-8 (U+DC80 to U+DCFF). With `u` half of a pair is none of them.
const UNSEEN =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu;

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
    this.chunks = [];
    this.size = 0;
    this.colour = "";
    this.isBold = false;
    this.begun = "";
    this.waiting = [];
    this.waitingSize = 0;
    this.isReturned = false; // the next character begins the line anew
    this.beginLine();
    this.beginChunk();
  }

  // Shown with the next frame: a program may print faster than a browser draws.
  write(text) {
    this.waiting.push(text);
    this.waitingSize += text.length;
    while (this.waitingSize > 2 * MOST && this.waiting.length > 1) {
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
    for (const [token] of whole.matchAll(TOKEN)) this.take(token);
    this.shorten();
    if (atEnd) this.place.scrollTop = this.place.scrollHeight;
  }

  // Nothing more comes.
  end() {
    if (this.begun && this.begun !== "\r") this.add(spelled(this.begun));
    this.begun = "";
  }

  take(token) {
    if (token === "\r") {
      this.isReturned = true;
    } else if (token === "\b") {
      this.back();
    } else if (token.startsWith("\x1b[") && token.endsWith("m")) {
      this.style(token.slice(2, -1));
    } else if (token.startsWith("\x1b[") && token.endsWith("K")) {
      if (token === "\x1b[2K") this.isReturned = true;
    } else {
      const text = token === "\r\n" ? "\n" : token;
      if (this.isReturned && text[0] !== "\n") this.beginAnew();
      this.isReturned = false;
      this.add(spelled(text));
    }
  }

  add(text) {
    const end = text.lastIndexOf("\n") + 1;
    if (end) {
      this.put(text.slice(0, end));
      this.beginLine();
    }
    this.put(text.slice(end));
  }

  put(text) {
    while (text) {
      const isFull = this.chunks.at(-1).size >= CHUNK;
      if (isFull && (this.lineSize === 0 || this.lineSize >= CHUNK)) this.beginChunk();
      let size = Math.min(text.length, CHUNK);
      if (size < text.length) {
        size = text.lastIndexOf("\n", size - 1) + 1 || size;
        if (/[\ud800-\udbff]/.test(text[size - 1])) size -= 1; // half of a pair
      }
      this.append(text.slice(0, size));
      text = text.slice(size);
    }
  }

  append(text) {
    const classes = [this.colour, this.isBold ? "bold" : ""].filter(Boolean).join(" ");
    let node = document.createTextNode(text);
    if (classes) {
      node = document.createElement("span");
      node.className = classes;
      node.textContent = text;
    }
    const chunk = this.chunks.at(-1);
    chunk.element.append(node);
    this.grow(chunk, text.length + LINE_END * (text.split("\n").length - 1));
    if (text.endsWith("\n")) this.beginLine();
    else {
      this.line.push({ node, chunk });
      this.lineSize += text.length;
    }
  }

  grow(chunk, size) {
    chunk.size += size;
    this.size += size;
  }

  beginChunk() {
    const element = document.createElement("span");
    element.className = "chunk";
    this.chunks.push({ element, size: 0 });
    this.place.append(element);
  }

  beginLine() {
    this.line = []; // what stands in the last line: {node, chunk}
    this.lineSize = 0;
  }

  beginAnew() {
    for (const { node, chunk } of this.line) {
      this.grow(chunk, -node.textContent.length);
      node.remove();
    }
    this.beginLine();
  }

  back() {
    const last = this.line.at(-1);
    if (!last) return;
    const text = last.node.textContent;
    const shorter = [...text].slice(0, -1).join("");
    last.node.textContent = shorter;
    this.grow(last.chunk, shorter.length - text.length);
    this.lineSize += shorter.length - text.length;
    if (!shorter) this.line.pop().node.remove();
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
    while (this.size > MOST && this.chunks.length > 1) {
      const { element, size } = this.chunks.shift();
      element.remove();
      this.size -= size;
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
