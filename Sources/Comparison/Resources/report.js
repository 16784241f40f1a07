"use strict";
const $ = (id) => document.getElementById(id);
const make = (name, text, className) => {
  const element = document.createElement(name);
  if (text !== undefined && text !== null) element.textContent = text;
  if (className) element.className = className;
  return element;
};
const reference = report.levels[0];
const others = report.levels.slice(1);
const cells = new Map(report.cells.map((c) => [`${c.level}|${c.prompt}|${c.seed}`, c]));
const cell = (level, subject) => cells.get(`${level}|${subject.prompt}|${subject.seed}`);
const subjects = report.cells.filter((c) => c.level === reference.name);
const settingsOf = (subject) => report.settings.prompts[subject.prompt - 1];
const promptText = (subject) => settingsOf(subject).prompt;
const number = (value, digits, same = "same") => {
  if (value === undefined) return "–";
  return value === null ? same : value.toFixed(digits);
};
// What a click does, a key does too.
const clickable = (element, label, action) => {
  element.tabIndex = 0;
  element.setAttribute("role", "button");
  element.setAttribute("aria-label", label);
  element.onclick = action;
  element.onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    action();
  };
};
const bytes = (count) => {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (count >= 1024 && unit < 3) { count /= 1024; unit += 1; }
  return unit ? `${count.toFixed(count < 10 ? 2 : 1)} ${units[unit]}` : `${count} bytes`;
};
const differenceName = (image) => image.replace(/\.png$/, "-difference.png");
let level = others.length ? others[others.length - 1].name : reference.name;
let subject = subjects[0];

// The table of levels.
function showLevels() {
  const table = $("levels");
  table.textContent = "";
  const scores = [...new Set(report.levels.flatMap((l) => Object.keys(l.scores || {})))];
  const head = make("tr");
  ["level", "size", "bits per weight", "PSNR, dB", "SSIM", "MS-SSIM", "FLIP", "latents", "velocity",
    "s per step", "peak memory", ...scores].forEach((title) => head.append(make("th", title)));
  const body = make("tbody");
  for (const entry of report.levels) {
    const row = make("tr", null, entry.kind === "reference" ? "reference" : "");
    if (entry.name === level) row.classList.add("chosen");
    const spread = (value, digits) => {
      const field = make("td");
      if (!value) { field.textContent = "–"; return field; }
      field.append(number(value.median, digits));
      if (value.worst !== value.median) field.append(make("small", number(value.worst, digits)));
      return field;
    };
    const name = entry.failures ? `${entry.name} (${entry.failures} failed)` : entry.name;
    row.append(make("td", name), make("td", bytes(entry.bytes)),
      make("td", entry.bitsPerWeight.toFixed(2)), spread(entry.psnr, 1), spread(entry.ssim, 3),
      spread(entry.msSSIM, 3), spread(entry.flip, 3), spread(entry.latentError, 4),
      spread(entry.psnr && { median: entry.velocityError, worst: entry.velocityErrorWorst }, 4),
      make("td", number(entry.secondsPerStep, 3, "–")), make("td", entry.peakBytes === null ? "n/a" : bytes(entry.peakBytes)));
    for (const score of scores) {
      const found = (entry.scores || {})[score];
      row.append(make("td", found ? `${found.right}/${found.total}` : "–"));
    }
    if (entry.kind !== "reference") clickable(row, `choose ${entry.name}`, () => { level = entry.name; refresh(); });
    body.append(row);
  }
  const top = make("thead");
  top.append(head);
  table.append(top, body);
}

// Plots. `points` have x, y and name.
const svgNames = "http://www.w3.org/2000/svg";
function shape(parent, name, attributes, text) {
  const element = document.createElementNS(svgNames, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough);
  const first = Math.ceil(low / step);
  const length = Math.min(20, Math.max(0, Math.floor(high / step + 1e-9) - first + 1));
  return Array.from({ length }, (_, index) => (first + index) * step);
}
function axes(title, xTitle, xs, ys, logarithmic) {
  const [width, height, left, right, top, bottom] = [420, 270, 52, 16, 34, 40];
  const svg = document.createElementNS(svgNames, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  shape(svg, "text", { x: left, y: 18, class: "title" }, title);
  const grown = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = (high - low || Math.abs(high) || 1) * 0.08;
    return [low - margin, high + margin];
  };
  const scaled = logarithmic ? ys.map(Math.log10) : ys;
  const [x0, x1] = grown(xs);
  const [y0, y1] = grown(scaled);
  const px = (x) => left + (x - x0) / (x1 - x0) * (width - left - right);
  const py = (y) => height - bottom - ((logarithmic ? Math.log10(y) : y) - y0) / (y1 - y0) * (height - top - bottom);
  for (const t of ticks(x0, x1, 6)) {
    shape(svg, "line", { x1: px(t), x2: px(t), y1: top, y2: height - bottom, class: "axis" });
    shape(svg, "text", { x: px(t), y: height - bottom + 15, "text-anchor": "middle" }, +t.toPrecision(6));
  }
  for (const t of ticks(y0, y1, 5)) {
    const value = logarithmic ? 10 ** t : t;
    shape(svg, "line", { x1: left, x2: width - right, y1: py(value), y2: py(value), class: "axis" });
    shape(svg, "text", { x: left - 6, y: py(value) + 4, "text-anchor": "end" }, +value.toPrecision(2));
  }
  shape(svg, "text", { x: width - right, y: height - 6, "text-anchor": "end" }, xTitle);
  return { svg, px, py, width };
}
function scatter(title, xTitle, points, logarithmic = false) {
  const shown = points.filter((p) => p.x !== null && p.y !== null && p.y !== undefined && (!logarithmic || p.y > 0));
  if (!shown.length) return;
  const { svg, px, py, width } = axes(title, xTitle, shown.map((p) => p.x), shown.map((p) => p.y), logarithmic);
  const taken = [];
  for (const p of [...shown].sort((a, b) => a.x - b.x)) {
    const [x, y] = [px(p.x), py(p.y)];
    shape(shape(svg, "circle", { cx: x, cy: y, r: 4, class: "dot" }), "title", {}, `${p.name}: ${p.x.toPrecision(4)}, ${p.y.toPrecision(4)}`);
    // A name goes where none lies yet; where it is crowded only the tooltip tells it.
    const isRight = x > width - 70;
    const isTaken = (ty) => taken.some(([tx, t]) => Math.abs(tx - x) < 52 && Math.abs(t - ty) < 11);
    const ty = [y - 7, y + 7, y - 18, y + 18].find((ty) => !isTaken(ty));
    if (ty === undefined) continue;
    taken.push([x, ty]);
    shape(svg, "text", { x: isRight ? x - 6 : x + 6, y: ty + 4, class: "name", "text-anchor": isRight ? "end" : "start" }, p.name);
  }
  $("plots").append(svg);
}
function curves(title, xTitle, lines) {
  const shown = lines.filter((l) => l.values.length > 1 && l.values.some((v) => v > 0));
  if (!shown.length) return;
  const xs = shown.flatMap((l) => l.values.map((_, i) => i + 1));
  const { svg, px, py, width } = axes(title, xTitle, xs, shown.flatMap((l) => l.values.filter((v) => v > 0)), true);
  const taken = [];
  const lastY = (line) => py(line.values.filter((v) => v > 0).at(-1));
  shown.sort((a, b) => lastY(a) - lastY(b)).forEach((line, index) => {
    const colour = `hsl(${Math.round(index * 360 / shown.length)} 60% 48%)`;
    const points = line.values.map((v, i) => [i + 1, v]).filter(([, v]) => v > 0);
    shape(svg, "path", {
      d: points.map(([x, y], i) => `${i ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join(""),
      class: "curve", stroke: colour,
    }).append(Object.assign(document.createElementNS(svgNames, "title"), { textContent: line.name }));
    const y = lastY(line);
    if (taken.some((t) => Math.abs(t - y) < 10)) return;
    taken.push(y);
    shape(svg, "text", { x: width - 16, y: y - 3, "text-anchor": "end", style: `fill: ${colour}` }, line.name);
  });
  $("plots").append(svg);
}
function showPlots() {
  const point = (key, y) => others.filter((l) => l.kind === "level")
    .map((l) => ({ name: l.name, x: key(l), y: y(l) }));
  const megabytes = (l) => l.bytes / 1e6;
  scatter("PSNR by file size", "MB", point(megabytes, (l) => l.psnr && l.psnr.median));
  scatter("PSNR by peak memory", "MiB", point((l) => l.peakBytes && l.peakBytes / 1048576, (l) => l.psnr && l.psnr.median));
  scatter("FLIP by file size", "MB", point(megabytes, (l) => l.flip && l.flip.median), true);
  scatter("Velocity error by bits per weight", "bits", point((l) => l.bitsPerWeight, (l) => l.velocityError), true);
  scatter("Seconds per step by file size", "MB", point(megabytes, (l) => l.secondsPerStep));
  curves("Distance of latents by step", "step", others.filter((l) => l.kind === "level").map((l) => ({ name: l.name, values: l.latentErrorPerStep.map((v) => v || 0) })));
}

// The slider.
function showViewer() {
  const found = cell(level, subject);
  $("under").src = pictures[cell(reference.name, subject).image] || "";
  const isMap = $("view").value === "difference";
  $("over").src = pictures[isMap ? differenceName(found.image) : found.image] || "";
  $("tag").textContent = isMap ? `${level}, difference` : level;
  $("under").onload = () => $("slider").classList.toggle("small", $("under").naturalWidth < 384);
  $("facts").textContent = "";
  const settings = settingsOf(subject);
  const rows = [...(found.failure ? [["no picture", found.failure]] : []), ["PSNR", `${number(found.psnr, 2)}${typeof found.psnr === "number" ? " dB" : ""}`], ["SSIM", number(found.ssim, 4)],
    ["MS-SSIM", number(found.msSSIM, 4, "n/a")], ["FLIP", number(found.flip, 4)],
    ["latents after the last step", number((found.latentErrors || []).at(-1), 5)],
    ...(found.velocityErrors || []).map((v, i) => [`velocity, point ${i + 1}`, number(v, 5)]),
    ["size", `${settings.width}x${settings.height}`], ["steps", settings.steps],
    ["guidance", settings.guidanceScale], ["seed", subject.seed]];
  for (const [name, value] of rows) $("facts").append(make("dt", name), make("dd", value));
}
function moveSlider(share) {
  const percent = Math.max(0, Math.min(100, share * 100));
  $("over").style.clipPath = `inset(0 0 0 ${percent}%)`;
  $("handle").style.left = `${percent}%`;
  $("slider").setAttribute("aria-valuenow", Math.round(percent));
}
function followPointer(event) {
  const box = $("slider").getBoundingClientRect();
  moveSlider((event.clientX - box.left) / box.width);
}

// The worst pictures of a level.
function showWorst() {
  const box = $("worst");
  box.textContent = "";
  const found = report.cells.filter((c) => c.level === level && c.flip !== undefined);
  const rank = (c) => (c.psnr === null ? Infinity : c.psnr);
  found.sort((a, b) => rank(a) - rank(b)).slice(0, 12).forEach((entry) => {
    const card = make("div", null, "case");
    const row = make("div", null, "row");
    for (const name of [cell(reference.name, entry).image, entry.image, differenceName(entry.image)]) {
      const image = make("img");
      image.loading = "lazy";
      image.alt = name;
      image.src = pictures[name] || "";
      row.append(image);
    }
    card.append(row, make("p", promptText(entry)),
      make("p", `seed ${entry.seed} · PSNR ${number(entry.psnr, 1)} · SSIM ${number(entry.ssim, 3)} · FLIP ${number(entry.flip, 3)}`, "numbers"));
    clickable(card, `show ${promptText(entry)} side by side`, () => choose(entry, level));
    box.append(card);
  });
}

// Every picture.
function showGrid() {
  const head = make("tr");
  head.append(make("th", ""));
  report.levels.forEach((l) => head.append(make("th", l.name)));
  $("grid").append(head);
  for (const entry of subjects) {
    const row = make("tr");
    row.append(make("td", `${promptText(entry)}${report.settings.seeds.length > 1 ? `, seed ${entry.seed}` : ""}`));
    for (const l of report.levels) {
      const found = cell(l.name, entry);
      const field = make("td");
      const image = make("img");
      image.loading = "lazy";
      image.alt = `${l.name}: ${promptText(entry)}`;
      image.src = pictures[found.image] || "";
      clickable(image, image.alt, () => choose(entry, l === reference ? level : l.name));
      field.append(image, make("small", l === reference ? "" : found.failure ? "failed" : number(found.psnr, 1)));
      row.append(field);
    }
    $("grid").append(row);
  }
}
function showTensors() {
  const head = make("tr");
  ["level", "tensor", "type", "relative error", "cosine"].forEach((t) => head.append(make("th", t)));
  $("tensors").append(head);
  for (const l of others.filter((l) => l.kind === "level")) {
    l.worstTensors.forEach((tensor, index) => {
      const row = make("tr");
      row.append(make("td", index ? "" : l.name), make("td", tensor.name), make("td", tensor.type),
        make("td", number(tensor.relativeError, 5)), make("td", number(tensor.cosine, 6)));
      $("tensors").append(row);
    });
  }
}
function choose(entry, name) {
  subject = subjects.find((s) => s.prompt === entry.prompt && s.seed === entry.seed);
  level = name;
  refresh();
  $("slider").scrollIntoView({ behavior: "smooth", block: "center" });
}
function refresh() {
  $("level").value = level;
  $("subject").value = subjects.indexOf(subject);
  showLevels();
  showViewer();
  showWorst();
}

const first = settingsOf(subject);
$("summary").textContent =
  `Reference: ${reference.name} (${bytes(reference.bytes)}). ${report.settings.prompts.length} prompts, `
  + `${report.settings.seeds.length} ${report.settings.seeds.length === 1 ? "seed" : "seeds"}, the same noise for every level; `
  + `${first.width}x${first.height}, ${first.steps} steps, guidance ${first.guidanceScale}.`;
subjects.forEach((s, index) => {
  const option = make("option", `${s.prompt}: ${promptText(s)}, seed ${s.seed}`);
  option.value = index;
  $("subject").append(option);
});
others.forEach((l) => $("level").append(make("option", l.name)));
$("subject").onchange = (event) => { subject = subjects[+event.target.value]; refresh(); };
$("level").onchange = (event) => { level = event.target.value; refresh(); };
$("view").onchange = showViewer;
$("slider").onpointerdown = (event) => { $("slider").setPointerCapture(event.pointerId); followPointer(event); };
$("slider").onpointermove = (event) => { if (event.buttons || event.pointerType === "mouse") followPointer(event); };
$("slider").onkeydown = (event) => {
  const move = { ArrowLeft: -5, ArrowRight: 5, Home: -100, End: 100 }[event.key];
  if (move === undefined) return;
  event.preventDefault();
  moveSlider((Number($("slider").getAttribute("aria-valuenow")) + move) / 100);
};
document.querySelectorAll("img").forEach((image) => { image.draggable = false; });
moveSlider(0.5);
if (others.length) { showPlots(); refresh(); } else { showLevels(); }
showGrid();
showTensors();
