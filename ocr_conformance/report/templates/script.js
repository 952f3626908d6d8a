"use strict";
const words = document.getElementById("words");
const boxes = [...document.querySelectorAll("#filter [name=verdict]")];
const filtered = [...document.querySelectorAll("[data-case]")];

function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  const shown = new Set();
  for (const element of filtered) {
    const name = element.dataset.case.toLowerCase();
    element.hidden = !verdicts.has(element.dataset.verdict) || !wanted.every((word) => name.includes(word));
    if (!element.hidden) shown.add(name);
  }
  const total = new Set(filtered.map((element) => element.dataset.case)).size;
  document.getElementById("shown").value = `${shown.size} of ${total} cases`;
}

function sort(header) {
  const index = [...header.parentElement.children].indexOf(header);
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = header.closest("table").tBodies[0];
  const key = (row) => row.cells[index].dataset.value ?? row.cells[index].textContent.trim();
  const compare = (one, other) => {
    const [a, b] = [key(one), key(other)];
    if (a === "" || b === "") return (a === "") - (b === "");  // what was not measured comes last, either way
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return descending ? -order : order;
  };
  body.append(...[...body.rows].sort(compare));
}

function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || !target.matches("details")) return;
  target.hidden = false;  // a link shows what the filter hides
  target.open = true;
  target.scrollIntoView();
}

words.addEventListener("input", filter);
boxes.forEach((box) => box.addEventListener("change", filter));
document.querySelectorAll(".sortable th button").forEach((button) =>
  button.addEventListener("click", () => sort(button.parentElement)));
addEventListener("hashchange", open);
filter();
open();
