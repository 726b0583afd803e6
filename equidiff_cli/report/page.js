"use strict";

// Numbers before words, what is missing last, whatever the direction.
function compare(a, b, down) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const numbers = !isNaN(a) && !isNaN(b);
  const order = numbers ? a - b : a.localeCompare(b, undefined, { numeric: true });
  return down ? -order : order;
}

function sorted(parent, items, value, down) {
  const keyed = items.map((item) => [value(item), item]);
  keyed.sort((a, b) => compare(a[0], b[0], down));
  parent.append(...keyed.map((pair) => pair[1]));
}

// Tables: a column's name is a button; a second press turns the order around.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      sorted(body, [...body.rows], (row) => row.cells[column].dataset.value, down);
    });
  });
}

// "3, 0-7" -> whether an index is among them; null if it cannot be read.
function indexFilter(text) {
  const parts = text.split(/[\s,]+/).filter(Boolean).map((part) => /^(\d+)(?:-(\d+))?$/.exec(part));
  if (parts.includes(null)) return null;
  return (index) => !parts.length || parts.some((p) => index >= +p[1] && index <= +(p[2] ?? p[1]));
}

// Pictures: filters hold for the cards and for the rows of the table of the same run.
for (const samples of document.querySelectorAll("[data-samples]")) {
  const form = samples.querySelector("form");
  const gallery = samples.querySelector(".gallery");
  const cards = [...gallery.children];
  const rows = [...document.querySelectorAll(`[data-rows="${samples.dataset.samples}"] tbody tr`)];
  const { status, error, index, sort, order } = form.elements;
  const key = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());

  function update() {
    const within = indexFilter(index.value);
    index.setCustomValidity(within ? "" : "Write numbers and ranges, such as 3, 0-7");
    index.setAttribute("aria-invalid", String(!within));
    const most = error.value === "" ? Infinity : Number(error.value);
    const passes = ({ dataset }) =>
      (!status.value || dataset.status === status.value) &&
      (most === Infinity || (dataset.error !== undefined && Number(dataset.error) <= most)) &&
      (!within || within(Number(dataset.index)));
    for (const item of [...cards, ...rows]) item.hidden = !passes(item);
    const down = order.getAttribute("aria-pressed") === "true";
    sorted(gallery, cards, (card) => card.dataset[key(sort.value)] ?? "", down);
    const shown = cards.filter((card) => !card.hidden).length;
    form.querySelector("output").textContent = `${shown} of ${cards.length} shown`;
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", update);
  order.addEventListener("click", () => {
    order.setAttribute("aria-pressed", String(order.getAttribute("aria-pressed") !== "true"));
    update();
  });
  form.addEventListener("reset", () => {
    order.setAttribute("aria-pressed", "false");
    setTimeout(update);
  });
  update();
}

// Films: one state of a chain at a time. They play when asked to; where motion is wanted, also when first seen.
const still = matchMedia("(prefers-reduced-motion: reduce)");
for (const film of document.querySelectorAll("[data-film]")) {
  const image = film.querySelector("img");
  const button = film.querySelector("button");
  const slider = film.querySelector("input");
  const output = film.querySelector("output");
  const count = Number(film.dataset.film);
  const said = output.dataset.said.split("|");
  const frame = film.querySelector(".film-window");
  let timer = null;

  function show() {
    image.style.transform = `translateX(${(-100 * slider.value) / count}%)`;
    output.textContent = said[slider.value];
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => { slider.value = (Number(slider.value) + 1) % count; show(); }, Math.max(50, 3000 / count)) : null;
    button.textContent = on ? "Pause" : "Play";
  }

  film.classList.add("plays");
  frame.scrollLeft = 0;
  frame.removeAttribute("tabindex");
  for (const part of [button, slider]) part.hidden = false;
  button.addEventListener("click", () => play(timer === null));
  slider.addEventListener("input", () => { play(false); show(); });
  still.addEventListener("change", () => { if (still.matches) play(false); });
  show();
  if (!still.matches) {
    const seen = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) { seen.disconnect(); play(true); }
    });
    seen.observe(film);
  }
}
for (const text of document.querySelectorAll(".film-still")) text.hidden = true;

// Maps over pictures: those of one method at a time.
for (const group of document.querySelectorAll("[data-overlays]")) {
  const form = group.querySelector("form");
  const update = () => {
    for (const map of group.querySelectorAll("[data-method]")) map.hidden = map.dataset.method !== form.elements.method.value;
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", update);
  group.classList.add("switched");
  update();
}

// A link to a run opens its section; on paper, all of them are open.
function openTarget() {
  const section = document.getElementById(location.hash.slice(1))?.closest("details");
  if (section) {
    section.open = true;
    section.scrollIntoView();
  }
}
addEventListener("hashchange", openTarget);
openTarget();
addEventListener("beforeprint", () => {
  for (const section of document.querySelectorAll("details:not(.data)")) section.open = true;
});
