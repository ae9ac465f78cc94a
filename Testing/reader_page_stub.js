// Runs the script of a reader study's page without a browser: node reader_page_stub.js PAGE
// Stands in for the few parts of a browser that the script uses, presses keys, and prints what would be seen and exported.
const html = require("fs").readFileSync(process.argv[2], "utf8");
const study = html.match(/<script id="study" type="application\/json">([\s\S]*?)<\/script>/)[1];
const script = html.match(/<script>([\s\S]*?)<\/script>/)[1];
const nodes = {}, listeners = {}, saved = [];
let painted = null;

function node(id) {
  const pen = { fillRect() {}, drawImage() {}, beginPath() {}, moveTo() {}, lineTo() {}, stroke() {}, putImageData(p) { painted = p; } };
  return {
    id, children: [], dataset: {}, value: "", textContent: "", width: 640, height: 640, classList: { toggle() {} },
    append(...more) { this.children.push(...more); }, replaceChildren(...all) { this.children = all; },
    getContext: () => pen, click() { saved.push([this.download, this.href]); },
  };
}
globalThis.document = {
  hidden: false, createElement: node, addEventListener: (name, act) => { listeners[name] = act; },
  getElementById: id => id === "study" ? { textContent: study } : nodes[id] = nodes[id] || node(id),
};
const kept = {};
globalThis.localStorage = { getItem: key => kept[key] || null, setItem: (key, value) => { kept[key] = value; } };
globalThis.ImageData = class {
  constructor(width, height) { Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) }); }
};
let refused = 0;
globalThis.alert = () => { refused += 1; };
URL.createObjectURL = blob => blob;
(0, eval)(script);

const pause = () => new Promise(resolve => setTimeout(resolve, 150));
const press = async (...keys) => {
  for (const key of keys) listeners.keydown({ key, target: { id: "" }, preventDefault() {} });
  await pause();
};
(async () => {
  await pause();
  const first = { gray: Array.from(painted.data.filter((_, n) => n % 4 === 0)), size: [painted.width, painted.height] };
  await press("Enter");
  const where = [nodes.where.textContent];
  await press("s", "4", "ArrowUp", "w", "m", "Enter");
  where.push(nodes.where.textContent);
  await press("r", "1");
  nodes.json.onclick();
  nodes.csv.onclick();
  const files = {};
  for (const [name, blob] of saved) files[name] = await blob.text();
  console.log(JSON.stringify({ first, where, refused, files, kept: Object.keys(kept) }));
})();
