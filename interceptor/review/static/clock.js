// Keeps "2 h 5 min left" true while the page is open, by the server's clock: a wrong clock at the desk must not
// make an order look early. The words and limits are those of review/worklist.py.
{
  const SOON = 30 * 60, NEAR = 2 * 3600;
  const served = Date.parse(document.querySelector("[data-served-at]")?.dataset.servedAt ?? "");
  const ahead = Number.isNaN(served) ? 0 : Date.now() - served;

  const words = (span) => {
    const seconds = Math.max(0, Math.floor(Math.abs(span)));
    const minutes = Math.floor(seconds / 60), hours = Math.floor(seconds / 3600), days = Math.floor(seconds / 86400);
    if (seconds < 60) return `${seconds} s`;
    if (minutes < 60) return `${minutes} min`;
    if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
    return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
  };

  const tick = () => {
    for (const place of document.querySelectorAll("[data-deadline]")) {
      const left = (Date.parse(place.dataset.deadline) - (Date.now() - ahead)) / 1000;
      const text = left <= 0 ? `overdue ${words(left)}` : `${words(left)} left`;
      if (place.textContent !== text) place.textContent = text;
      const level = left <= 0 ? "overdue" : left < SOON ? "soon" : left < NEAR ? "near" : "calm";
      const time = place.closest(".time"), row = place.closest("tr.order");
      if (time && !time.classList.contains(level)) {
        for (const other of ["overdue", "soon", "near", "calm"]) {
          time.classList.toggle(other, other === level);
          row?.classList.toggle(`level-${other}`, other === level);
        }
      }
    }
  };
  setInterval(tick, 1000);
  document.addEventListener("review:rows", tick);
}
