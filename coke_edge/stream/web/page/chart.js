// The latency of the last minute: p50, p95 and p99 of each second.

const SVG = "http://www.w3.org/2000/svg";
const NAMES = ["p50", "p95", "p99"];
const LEFT = 54, RIGHT = 8, TOP = 8, BOTTOM = 24; // px around the lines

const plot = document.getElementById("plot");
let last = null;

new ResizeObserver(() => last && draw(last)).observe(plot);

export function showLatency(minute) {
  last = minute;
  NAMES.forEach((name, i) => {
    document.getElementById(name).textContent = minute.minute ? `${minute.minute[i].toFixed(1)} ms` : "–";
  });
  const said = minute.minute && NAMES.map((name, i) => `${name} ${minute.minute[i].toFixed(1)} ms`).join(", ");
  plot.setAttribute("aria-label", said ? `Latency of the last minute: ${said}` : "No latency yet");
  draw(minute);
}

function draw({ seconds }) {
  const { width, height } = plot.getBoundingClientRect();
  const inner = { width: width - LEFT - RIGHT, height: height - TOP - BOTTOM };
  if (inner.width <= 0 || inner.height <= 0) return;
  const ticks = ticksTo(Math.max(...seconds.flatMap((values) => values ?? [])));
  const top = ticks[ticks.length - 1];
  const x = (i) => LEFT + (inner.width * i) / (seconds.length - 1);
  const y = (value) => TOP + inner.height * (1 - value / top);
  const parts = [];
  for (const tick of ticks) {
    parts.push(make("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }));
    parts.push(make("text", { class: "tick end", x: LEFT - 8, y: y(tick) + 4 }, tick === top ? `${tick} ms` : String(tick)));
  }
  for (const ago of [60, 45, 30, 15, 0]) {
    const place = LEFT + (inner.width * (60 - ago)) / 60;
    const anchor = ago === 60 ? "" : ago === 0 ? " end" : " middle";
    parts.push(make("text", { class: `tick${anchor}`, x: place, y: height - 4 }, ago ? `−${ago} s` : "now"));
  }
  for (const i of [2, 1, 0]) parts.push(...lines(NAMES[i], seconds, i, x, y)); // the median on top
  plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
  plot.replaceChildren(...parts);
}

// One line for each run of seconds that have frames; a second alone is a dot.
function lines(name, seconds, i, x, y) {
  const parts = [];
  let points = [];
  [...seconds, null].forEach((values, at) => {
    if (values) {
      points.push([x(at), y(values[i])]);
    } else if (points.length) {
      parts.push(
        points.length > 1
          ? make("polyline", { class: `curve ${name}`, points: points.map((p) => p.map((v) => v.toFixed(1))).join(" ") })
          : make("circle", { class: `alone ${name}`, cx: points[0][0], cy: points[0][1], r: 2.5 }),
      );
      points = [];
    }
  });
  return parts;
}

// Round numbers from 0 to a little above the largest value.
function ticksTo(largest) {
  if (!(largest > 0)) return [0, 1];
  const rough = largest / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const count = Math.ceil((largest * 1.02) / step);
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(6)));
}

function make(kind, attributes, text) {
  const node = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}
