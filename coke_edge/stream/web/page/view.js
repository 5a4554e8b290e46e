// Asks for the newest frame, shows it, asks again: one frame is on its way at most, so what is shown is never old.
import { showTable } from "./table.js";
import { showLatency } from "./chart.js";

const PATIENCE = 20000; // ms without an answer: the connection is gone
const STALL = 2000; // ms without a frame before the page says so
const TABLE_EVERY = 100; // ms: faster, nobody reads

const element = (id) => document.getElementById(id);
const canvas = element("picture");
const context = canvas.getContext("2d");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let shown = 0; // the sequence number of the frame on the page
let shownAt = 0; // when it came
let tableAt = 0;
let reached = true;
let ended = false; // the run has said so, and its server may be gone

function say(state, sentence) {
  const line = element("state");
  if (line.textContent !== sentence) {
    line.dataset.state = state;
    line.textContent = sentence;
  }
}

const ask = (path) => fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });

function awake() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}

async function watch() {
  for (;;) {
    await awake();
    try {
      const answer = await ask(`frame?after=${shown}`);
      reached = true;
      if (answer.status === 200) await show(await answer.arrayBuffer());
      else if (answer.status !== 204) await refused(answer.status);
      else if (!shown) say("waiting", "Waiting for the first frame");
    } catch {
      reached = false;
      if (!ended) say("lost", "No connection; trying again");
      await pause(1000);
    }
  }
}

async function refused(status) {
  ended = status === 410;
  if (ended) say("ended", "The run has ended");
  else if (status === 401) say("lost", "Open the link that coke-edge printed");
  else if (status === 503) say("lost", "Too many viewers; trying again");
  else say("lost", `The server answers ${status}; trying again`);
  reached = false;
  await pause(2000);
}

async function show(message) {
  const length = new DataView(message).getUint32(0);
  const frame = JSON.parse(new TextDecoder().decode(new Uint8Array(message, 4, length)));
  const bitmap = await createImageBitmap(new Blob([new Uint8Array(message, 4 + length)], { type: "image/jpeg" }));
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  ended = false;
  shown = frame.sequence;
  shownAt = performance.now();
  say("live", "Live");
  if (shownAt - tableAt >= TABLE_EVERY) {
    tableAt = shownAt;
    showFigures(frame);
  }
}

function showFigures(frame) {
  element("frame-name").textContent = `${frame.name} · ${frame.width} × ${frame.height}`;
  element("latency").textContent = frame.latency.toFixed(1);
  element("age").textContent = frame.age === null ? "–" : frame.age.toFixed(0);
  element("dropped").textContent = frame.dropped;
  canvas.setAttribute("aria-label", `Frame ${frame.index} with the keypoints of ${frame.objects.length} object(s)`);
  showTable(frame.objects);
}

async function measure() {
  for (;;) {
    await awake();
    if (reached) {
      try {
        const answer = await ask("latency");
        if (answer.status === 200) {
          const minute = await answer.json();
          element("rate").textContent = minute.rate === null ? "–" : minute.rate.toFixed(1);
          showLatency(minute);
        }
      } catch {
        // watch() says so
      }
    }
    const stalled = performance.now() - shownAt;
    if (reached && shown && stalled > STALL) say("stalled", `No new frame for ${(stalled / 1000).toFixed(0)} s`);
    await pause(1000);
  }
}

watch();
measure();
