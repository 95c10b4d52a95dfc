// After an event the page is fetched again, and what differs is taken over: focus, scroll and open details stay.
(() => {
  "use strict";
  const PAUSE_MS = 250, IDLE_MS = 30000, POLL_MS = 3000;
  const root = document.documentElement, stale = document.getElementById("stale"), live = document.getElementById("live");
  let wanted = 0, fetching = false, skew = 0;

  const clock = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
    const days = Math.floor(whole / 86400), hours = Math.floor(whole / 3600) % 24, minutes = Math.floor(whole / 60) % 60;
    if (days) return `${days} d ${hours} h`;
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };

  const tick = () => {
    for (const each of document.querySelectorAll("[data-since]"))
      each.firstChild.data = clock((Date.now() + skew - Date.parse(each.dataset.since)) / 1000);
  };

  const patch = (old, fresh) => {
    if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== fresh.data) old.data = fresh.data; return; }
    for (const { name } of [...old.attributes])
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const before = [...old.childNodes], after = [...fresh.childNodes];
    after.forEach((node, at) => (before[at] ? patch(before[at], node) : old.append(node)));
    before.slice(after.length).forEach((node) => node.remove());
  };

  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    if (fresh.documentElement.dataset.release !== root.dataset.release) return location.reload();
    skew = Date.parse(fresh.documentElement.dataset.now) - Date.now();
    document.title = fresh.title;
    for (const part of ["#icon", "header", "main"]) patch(document.querySelector(part), fresh.querySelector(part));
    tick();
  };

  const refresh = async () => {
    wanted = 0;
    fetching = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      take(await answer.text());
      stale.hidden = true;
    } catch {
      stale.hidden = false;
      setTimeout(want, POLL_MS);
    }
    setTimeout(() => { fetching = false; if (wanted) refresh(); }, PAUSE_MS);
  };

  const want = () => {
    wanted += 1;
    if (!fetching) refresh();
  };

  skew = Date.parse(root.dataset.now) - Date.now();
  setInterval(tick, 1000);
  setInterval(want, IDLE_MS);
  live.textContent = "Live";
  const events = new EventSource(live.dataset.events);
  events.addEventListener("summary", want);
  events.onerror = () => { if (events.readyState === EventSource.CLOSED) setInterval(want, POLL_MS); else want(); };
})();
