// While a search is typed, rows that do not fit it are hidden at once. Enter asks the server, which knows all of them.
(() => {
  "use strict";
  const field = document.getElementById("q"), shown = document.getElementById("shown");
  if (!field) return;
  const rows = [...document.querySelectorAll("#relations > tr")];
  const more = Number(shown.dataset.more), asked = field.value;

  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => row.dataset.words.includes(word));
      left += row.hidden ? 0 : 1;
    }
    shown.hidden = field.value === asked;
    shown.textContent = `${left} of the ${rows.length} on this page fit.` + (more > 0 ? " Enter searches all of them." : "");
  };

  field.addEventListener("input", filter);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && document.activeElement !== field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  });
})();
