// Times by the reader's own clock, and seconds that go on.

const OF_TODAY = { hour: "2-digit", minute: "2-digit" };
const OF_A_DAY = { day: "numeric", month: "short", ...OF_TODAY };

function local(time) {
  const then = new Date(time.dateTime);
  if (isNaN(then)) return;
  const isToday = then.toDateString() === new Date().toDateString();
  time.textContent = then.toLocaleString([], isToday ? OF_TODAY : OF_A_DAY);
  time.title = then.toLocaleString();
}

function tick() {
  for (const place of document.querySelectorAll("[data-elapsed]")) {
    place.since ??= performance.now() - 1000 * Number(place.dataset.elapsed);
    const seconds = Math.floor((performance.now() - place.since) / 1000);
    const minutes = String(Math.floor(seconds / 60)).padStart(2, "0");
    const text = `${minutes}:${String(seconds % 60).padStart(2, "0")}`;
    if (place.textContent !== text) place.textContent = text;
  }
}

export function showMoments(within) {
  within.querySelectorAll("time[datetime]").forEach(local);
  tick();
}

showMoments(document);
for (const zone of document.querySelectorAll(".zone")) zone.textContent = "those of your clock";
setInterval(tick, 1000);
