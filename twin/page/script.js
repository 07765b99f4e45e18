"use strict";
// Without this script the page says the same; it sorts tables and copies commands.
const told = document.getElementById("told");

function tell(text) {
  told.textContent = text;
}

function worth(row, column) {
  const cell = row.cells[column];
  const value = cell.dataset.value ?? cell.textContent.trim();
  return value === "" ? null : Number.isNaN(Number(value)) ? value : Number(value);
}

function order(one, other) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

function sort(table, head, column) {
  const falling = head.getAttribute("aria-sort") === "ascending";
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) => {
    const values = [worth(one, column), worth(other, column)];
    // What has no value stays at the end, whichever way.
    return values.includes(null) || !falling ? order(...values) : -order(...values);
  });
  table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  body.append(...rows);
  tell(`Sorted by ${head.textContent.trim()}, ${falling ? "descending" : "ascending"}.`);
}

for (const table of document.querySelectorAll("table[data-sortable]")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, head, column));
  });
}

async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  throw new Error("no clipboard");
}

for (const block of document.querySelectorAll("pre[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${block.dataset.copy}`);
  block.after(button);
  button.addEventListener("click", async () => {
    try {
      await copied(block.textContent);
      button.textContent = "Copied";
      tell("Copied.");
    } catch {
      getSelection().selectAllChildren(block); // where a browser gives no clipboard, Ctrl-C takes it from here
      button.textContent = "Selected";
      tell("Selected: press Ctrl and C.");
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// A table wider than the window scrolls by itself, and is then reached by keyboard.
for (const box of document.querySelectorAll(".wide")) {
  const name = box.querySelector("caption")?.textContent.trim() ?? "Table";
  const fit = () => {
    const wider = box.scrollWidth > box.clientWidth;
    if (wider) Object.entries({ tabindex: "0", role: "region", "aria-label": name }).forEach((pair) => box.setAttribute(...pair));
    else ["tabindex", "role", "aria-label"].forEach((key) => box.removeAttribute(key));
  };
  new ResizeObserver(fit).observe(box);
}
