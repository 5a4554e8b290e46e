// The keypoint table: rows are made once and then only their texts change.

const table = document.querySelector("#keypoints table");
const sides = document.querySelectorAll("#watch .legend [hidden]"); // shown for the sides that there are
const COLUMNS = ["x", "y", "similarity", "clutter", "visible"];
const FORM = { x: [1], y: [1], similarity: [3], clutter: [3], visible: [0, 100, " %"] }; // digits, scale, unit

let layout = ""; // the names of all rows
let rows = [];

export function showTable(objects) {
  const wanted = objects.map((points) => points.map((point) => point.name).join("\n")).join("\n\n");
  if (wanted !== layout) {
    build(objects);
    layout = wanted;
  }
  objects.flat().forEach((point, i) => fill(rows[i], point));
}

function build(objects) {
  for (const body of table.querySelectorAll("tbody")) body.remove();
  rows = [];
  for (const item of sides) {
    item.hidden = !objects.flat().some((point) => item.firstChild.classList.contains(point.side));
  }
  objects.forEach((points, number) => {
    const body = table.createTBody();
    if (objects.length > 1) body.append(heading(`Object ${number + 1}`));
    for (const point of points) rows.push(makeRow(body, point));
  });
}

function heading(text) {
  const row = document.createElement("tr");
  const cell = document.createElement("th");
  cell.scope = "rowgroup";
  cell.colSpan = COLUMNS.length + 1;
  cell.textContent = text;
  row.append(cell);
  return row;
}

function makeRow(body, point) {
  const row = body.insertRow();
  const name = document.createElement("th");
  name.scope = "row";
  const dot = document.createElement("i");
  dot.className = `dot ${point.side}`;
  name.append(dot, point.name.replaceAll("_", " "));
  row.append(name);
  const cells = COLUMNS.map(() => row.insertCell().appendChild(document.createTextNode("")));
  const word = document.createElement("span"); // a phone has no room for it
  word.className = "word";
  cells[4].before(word);
  return { row, dot, word, cells };
}

function fill({ row, dot, word, cells }, point) {
  const found = point.x !== null;
  row.classList.toggle("hidden-point", point.hidden || !found);
  dot.classList.toggle("ring", point.hidden);
  dot.classList.toggle("none", !found);
  COLUMNS.forEach((column, i) => change(cells[i], number(found ? point[column] : null, ...FORM[column])));
  change(word, !found ? "not found " : point.visible === null ? "" : point.hidden ? "hidden " : "yes ");
  cells[2].parentNode.style.setProperty("--share", bar(point.similarity));
  cells[3].parentNode.style.setProperty("--share", bar(point.clutter));
}

function change(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const number = (value, digits, scale = 1, unit = "") =>
  value === null ? "–" : (scale * value).toFixed(digits).replace("-", "−") + unit;
const bar = (value) => `${(100 * Math.min(1, Math.max(0, value ?? 0))).toFixed(0)}%`;
