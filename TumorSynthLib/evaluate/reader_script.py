"""The script of a reader study's page: slices, windows, keys, answers with confidence and time, and their export."""

SCRIPT = """
"use strict";
const study = JSON.parse(document.getElementById("study").textContent);
const store = "reader-study-" + study.id;
const saved = JSON.parse(localStorage.getItem(store) || "{}");
const answers = saved.answers || {};
const view = document.getElementById("view"), pen = view.getContext("2d");
const byId = name => document.getElementById(name);
let current = saved.current || 0, slice = 0, preset = 0, marked = true, voxels = null, since = 0, wanted = 0;
byId("reader").value = saved.reader || "";

function keep() {
  localStorage.setItem(store, JSON.stringify({ answers, current, reader: byId("reader").value }));
}
function entry() {
  const name = study.cases[current].name;
  answers[name] = answers[name] || { case: name, answer: null, confidence: null, seconds: 0 };
  return answers[name];
}
function clock(goesOn) {
  const now = performance.now();
  if (since) entry().seconds += (now - since) / 1000;
  since = goesOn ? now : 0;
}
async function unpack(item) {
  const bytes = Uint8Array.from(atob(item.voxels), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Int16Array(await new Response(stream).arrayBuffer());
}
async function show(number) {
  clock(false);
  current = Math.max(0, Math.min(study.cases.length - 1, number));
  const item = study.cases[current], mine = ++wanted;
  voxels = null;
  slice = item.marker[0];
  preset = Math.min(preset, item.windows.length - 1);
  byId("slice").max = item.shape[0] - 1;
  const found = await unpack(item);
  if (mine !== wanted) return;
  voxels = found;
  clock(!document.hidden);
  keep();
  draw();
}
function draw() {
  const item = study.cases[current], rows = item.shape[1], columns = item.shape[2];
  if (!voxels) return;
  const low = item.windows[preset].low * item.scale, high = item.windows[preset].high * item.scale;
  const picture = new ImageData(columns, rows), start = slice * rows * columns;
  for (let n = 0; n < rows * columns; n++) {
    const gray = Math.max(0, Math.min(255, 255 * (voxels[start + n] - low) / (high - low)));
    picture.data.set([gray, gray, gray, 255], 4 * n);
  }
  const sheet = document.createElement("canvas");
  sheet.width = columns; sheet.height = rows;
  sheet.getContext("2d").putImageData(picture, 0, 0);
  const zoom = Math.min(view.width / columns, view.height / rows);
  const left = (view.width - zoom * columns) / 2, top = (view.height - zoom * rows) / 2;
  pen.fillStyle = "#000"; pen.fillRect(0, 0, view.width, view.height);
  pen.drawImage(sheet, left, top, zoom * columns, zoom * rows);
  if (marked) {
    const x = left + zoom * (item.marker[2] + 0.5), y = top + zoom * (item.marker[1] + 0.5);
    pen.strokeStyle = "#fd0"; pen.lineWidth = 1; pen.beginPath();
    for (const [a, b] of [[12, 4], [-12, -4]]) {
      pen.moveTo(x + a, y); pen.lineTo(x + b, y); pen.moveTo(x, y + a); pen.lineTo(x, y + b);
    }
    pen.stroke();
  }
  label(item);
}
function label(item) {
  const mine = entry(), all = study.cases.filter(one => answers[one.name] && answers[one.name].answer).length;
  byId("where").textContent = item.name + " of " + study.cases.length + ", " + item.modality;
  byId("place").textContent = (slice + 1) + " / " + item.shape[0];
  byId("slice").value = slice;
  for (const name of ["real", "synthetic"]) byId(name).classList.toggle("on", mine.answer === name);
  for (const node of byId("confidence").children) node.classList.toggle("on", mine.confidence === +node.dataset.value);
  const presets = item.windows.map((one, n) => button(one.name, () => { preset = n; draw(); }, n === preset));
  byId("windows").replaceChildren(...presets);
  byId("mark").classList.toggle("on", marked);
  byId("done").max = study.cases.length; byId("done").value = all;
}
function button(text, act, on) {
  const node = document.createElement("button");
  node.textContent = text; node.onclick = act; node.classList.toggle("on", !!on);
  return node;
}
function say(answer) { entry().answer = answer; keep(); draw(); }
function rate(value) { entry().confidence = value; keep(); draw(); }
function move(by) { slice = Math.max(0, Math.min(study.cases[current].shape[0] - 1, slice + by)); draw(); }
function next() {
  const mine = entry();
  if (!mine.answer || !mine.confidence) { alert("Answer and confidence are needed."); return; }
  show(current + 1);
}
function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type })); link.download = name; link.click();
}
function given() {
  clock(!document.hidden); keep();
  return study.cases.map(one => answers[one.name]).filter(one => one && one.answer);
}
function quoted(value) { return '"' + String(value).replaceAll('"', '""') + '"'; }
function asJson() {
  return JSON.stringify({ study: study.id, reader: byId("reader").value, answers: given() }, null, 1);
}
function asCsv() {
  const who = byId("reader").value;
  const lines = given().map(one => [study.id, who, one.case, one.answer, one.confidence, one.seconds.toFixed(1)]);
  return ["study,reader,case,answer,confidence,seconds", ...lines.map(line => line.map(quoted).join(","))].join("\\n");
}
byId("json").onclick = () => save("answers.json", asJson(), "application/json");
byId("csv").onclick = () => save("answers.csv", asCsv(), "text/csv");
for (let n = 1; n <= 5; n++) {
  const node = button(String(n), () => rate(n));
  node.dataset.value = n; byId("confidence").append(node);
}
byId("real").onclick = () => say("real");
byId("synthetic").onclick = () => say("synthetic");
byId("back").onclick = () => show(current - 1);
byId("next").onclick = next;
byId("mark").onclick = () => { marked = !marked; draw(); };
byId("slice").oninput = event => { slice = +event.target.value; draw(); };
byId("reader").onchange = keep;
view.onwheel = event => { event.preventDefault(); move(event.deltaY > 0 ? -1 : 1); };
document.addEventListener("visibilitychange", () => clock(!document.hidden && voxels));
document.addEventListener("keydown", event => {
  if (event.target.id === "reader" || event.ctrlKey || event.metaKey || event.altKey) return;
  const acts = { r: () => say("real"), s: () => say("synthetic"), m: byId("mark").onclick,
    p: () => show(current - 1), Enter: next,
    w: () => { preset = (preset + 1) % study.cases[current].windows.length; draw(); },
    ArrowUp: () => move(1), ArrowRight: () => move(1), ArrowDown: () => move(-1), ArrowLeft: () => move(-1) };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (acts[key]) { event.preventDefault(); acts[key](); }
  else if ("12345".includes(key)) rate(+key);
});
show(current);
"""
