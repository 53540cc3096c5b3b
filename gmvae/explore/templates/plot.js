// The plane: points and ellipses below, what moves above.
const base = byId("points"), pad = byId("pad");
const view = { x: 0, y: 0, scale: 1, whole: 1, width: 1, height: 1, ratio: 1 };
let theme = {}, stamps = { plain: [], faint: [] }, pixels = null;

const toScreen = (u, v) => [
  view.width / 2 + (u - view.x) * view.scale,
  view.height / 2 - (v - view.y) * view.scale,
];
const toPlane = (x, y) => [
  view.x + (x - view.width / 2) / view.scale,
  view.y - (y - view.height / 2) / view.scale,
];

function showAll() {
  const [[left, bottom], [right, top]] = plane.limits;
  view.x = (left + right) / 2;
  view.y = (bottom + top) / 2;
  view.whole = Math.min(view.width / (right - left), view.height / (top - bottom));
  view.scale = view.whole;
}

function scaleBy(factor, x = view.width / 2, y = view.height / 2) {
  const [u, v] = toPlane(x, y);
  view.scale = Math.min(Math.max(view.scale * factor, view.whole / 4), view.whole * 400);
  const [now, at] = toPlane(x, y);
  view.x += u - now;
  view.y += v - at;
}

// After a change of size, of colours or of the theme.
function prepare() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "faint", "line", "accent", "ring"])
    theme[name] = style.getPropertyValue(`--${name}`).trim();
  const box = pad.getBoundingClientRect();
  // More pixels than two a side nobody sees.
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  Object.assign(view, { width: box.width || 1, height: box.height || 1, ratio });
  for (const canvas of [base, pad]) {
    canvas.width = Math.max(1, Math.round(view.width * ratio));
    canvas.height = Math.max(1, Math.round(view.height * ratio));
  }
  pixels = base.getContext("2d").createImageData(base.width, base.height);
  const radius = N <= 300 ? 5 : N <= 1000 ? 4 : N <= 5000 ? 3 : 2;
  // Rings around many points would hide their colours.
  const ring = N <= 3000 ? theme.ring : null;
  const about = { radius, ratio, width: base.width };
  const { looks } = groups[state.colour];
  stamps = {
    plain: looks.map((look) => stampOf(look, { ...about, opacity: 0.9, ring })),
    faint: looks.map((look) => stampOf(look, { ...about, opacity: 0.18, ring: null })),
  };
}

function drawBase() {
  const g = base.getContext("2d");
  stampPoints(new Uint32Array(pixels.data.buffer).fill(0), base.width, base.height);
  g.putImageData(pixels, 0, 0);
  g.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  drawGrid(g);
  drawEllipses(g);
  drawLabels(g);
  g.setTransform(1, 0, 0, 1, 0, 0);
}

// Of each point 0 where it is not shown, 1 where it is faint, 2 where it is plain.
function shades() {
  const result = new Uint8Array(N).fill(state.lit.length ? 1 : 2);
  for (const i of state.lit) result[i] = 2;
  if (state.hidden.size) for (let i = 0; i < N; i++) if (!shown(i)) result[i] = 0;
  return result;
}

function stampPoints(buffer, width, height) {
  const of = group(), shade = shades(), scale = view.scale * view.ratio;
  const left = width / 2 - view.x * scale + 0.5, top = height / 2 + view.y * scale + 0.5;
  // The faint ones first.
  for (const [wanted, marks] of [[1, stamps.faint], [2, stamps.plain]])
    for (let n = 0; n < N; n++) {
      const i = order[n];
      if (shade[i] !== wanted) continue;
      const { half, offsets, colours } = marks[of[i]];
      const x = Math.floor(left + placeX[i] * scale), y = Math.floor(top - placeY[i] * scale);
      if (x < half || y < half || x >= width - half || y >= height - half) continue;
      const at = y * width + x;
      for (let j = 0; j < offsets.length; j++) buffer[at + offsets[j]] = colours[j];
    }
}

function drawGrid(g) {
  // A line every hundred pixels or so, at 1, 2 or 5 times a power of ten.
  const rough = 90 / view.scale, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((n) => n * power >= rough) ?? 10);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const [left, top] = toPlane(0, 0), [right, bottom] = toPlane(view.width, view.height);
  g.save();
  g.globalCompositeOperation = "destination-over";
  g.fillStyle = theme.faint;
  g.font = "11px system-ui, sans-serif";
  for (let u = Math.ceil(left / step) * step; u <= right; u += step)
    g.fillText(u.toFixed(digits), toScreen(u, 0)[0] + 3, view.height - 5);
  const twoAxes = plane.axes[1].some((value) => value !== 0);
  if (twoAxes)
    for (let v = Math.ceil(bottom / step) * step; v <= top; v += step) {
      const y = toScreen(0, v)[1];
      if (y < view.height - 22) g.fillText(v.toFixed(digits), 4, y - 3);
    }
  g.strokeStyle = theme.line;
  g.lineWidth = 1;
  g.globalAlpha = 0.6;
  g.beginPath();
  for (let u = Math.ceil(left / step) * step; u <= right; u += step) {
    g.moveTo(toScreen(u, 0)[0], 0);
    g.lineTo(toScreen(u, 0)[0], view.height);
  }
  if (twoAxes)
    for (let v = Math.ceil(bottom / step) * step; v <= top; v += step) {
      g.moveTo(0, toScreen(0, v)[1]);
      g.lineTo(view.width, toScreen(0, v)[1]);
    }
  g.stroke();
  g.restore();
}

function drawEllipses(g) {
  plane.means.forEach(([u, v], k) => {
    const [[a, b], [, d]] = plane.covariances[k];
    const half = (a + d) / 2, apart = Math.hypot((a - d) / 2, b), turn = -Math.atan2(2 * b, a - d) / 2;
    const radii = [half + apart, half - apart].map((x) => Math.sqrt(Math.max(x, 0)) * view.scale);
    for (const sigmas of [1, 2])
      for (const [colour, wider] of [[theme.paper, 2], [groups.component.looks[k][0], 0]]) {
        g.beginPath();
        g.ellipse(...toScreen(u, v), sigmas * radii[0], sigmas * radii[1], turn, 0, 2 * Math.PI);
        g.setLineDash(sigmas === 1 ? [] : [6, 4]);
        g.strokeStyle = colour;
        g.globalAlpha = wider ? 0.6 : 1;
        g.lineWidth = (sigmas === 1 ? 2 : 1.4) + wider;
        g.stroke();
      }
  });
  g.setLineDash([]);
}

// Where the name of each group stands: a component's at its mean, a class's amid its points.
const middles = {
  component: plane.means,
  class: groups.class && medians(groupsOf.class, groups.class.names.length),
};

function medians(of, n) {
  const members = Array.from({ length: n }, () => []);
  for (let i = 0; i < N; i++) members[of[i]].push(i);
  return members.map((own) =>
    [placeX, placeY].map((places) => own.map((i) => places[i]).sort((x, y) => x - y)[own.length >> 1]));
}

function drawLabels(g) {
  const boxes = [];
  g.font = "bold 15px system-ui, sans-serif";
  g.textAlign = "center";
  g.textBaseline = "middle";
  g.lineJoin = "round";
  groups[state.colour].short.forEach((name, k) => {
    if (state.hidden.has(k)) return;
    const text = name.length > 24 ? `${name.slice(0, 23)}…` : name;
    const [x, y] = toScreen(...middles[state.colour][k]), half = g.measureText(text).width / 2 + 3;
    // One that would lie on another is in the legend only.
    if (boxes.some((box) => Math.abs(box[0] - x) < box[2] + half && Math.abs(box[1] - y) < 17)) return;
    boxes.push([x, y, half]);
    g.strokeStyle = theme.paper;
    g.lineWidth = 4;
    g.strokeText(text, x, y);
    g.fillStyle = theme.ink;
    g.fillText(text, x, y);
  });
  g.textAlign = "start";
  g.textBaseline = "alphabetic";
}

function drawAbove() {
  const g = pad.getContext("2d");
  g.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  g.clearRect(0, 0, view.width, view.height);
  const { a, b } = state.ends;
  if (a && b) line(g, [a, b].map(({ z }) => project(z)));
  if (state.lasso) line(g, [...state.lasso, state.lasso[0]], [5, 4]);
  if (state.near >= 0) circle(g, [placeX[state.near], placeY[state.near]], 8, 1.5);
  if (state.chosen >= 0) circle(g, [placeX[state.chosen], placeY[state.chosen]], 10, 3);
  cross(g, project(state.z));
  for (const [letter, end] of Object.entries(state.ends))
    if (end) pin(g, project(end.z), letter.toUpperCase());
}

// Seen on points of any colour: over a wider line in the colour of the paper.
function stroke(g, width, colour) {
  g.strokeStyle = theme.paper;
  g.lineWidth = width + 3;
  g.stroke();
  g.strokeStyle = colour;
  g.lineWidth = width;
  g.stroke();
}

function line(g, places, dash = []) {
  g.beginPath();
  places.forEach(([u, v]) => g.lineTo(...toScreen(u, v)));
  g.setLineDash(dash);
  stroke(g, 2, theme.accent);
  g.setLineDash([]);
}

function circle(g, [u, v], radius, width) {
  g.beginPath();
  g.arc(...toScreen(u, v), radius, 0, 2 * Math.PI);
  stroke(g, width, theme.ink);
}

function cross(g, [u, v]) {
  const [x, y] = toScreen(u, v), out = 11, gap = 4;
  g.beginPath();
  for (const [i, j] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    g.moveTo(x + gap * i, y + gap * j);
    g.lineTo(x + out * i, y + out * j);
  }
  stroke(g, state.held ? 3 : 1.5, state.held ? theme.accent : theme.ink);
}

function pin(g, [u, v], letter) {
  const [x, foot] = toScreen(u, v), y = foot - 22;
  g.beginPath();
  g.moveTo(x, foot);
  g.lineTo(x, y);
  stroke(g, 2, theme.accent);
  g.beginPath();
  g.arc(x, y, 9, 0, 2 * Math.PI);
  stroke(g, 1, theme.accent);
  g.fillStyle = theme.accent;
  g.fill();
  g.fillStyle = theme.paper;
  g.font = "bold 12px system-ui, sans-serif";
  g.textAlign = "center";
  g.textBaseline = "middle";
  g.fillText(letter, x, y + 1);
}

// The point nearest to a place of the screen, or -1 where none is within so many pixels.
function nearest(x, y, within = Infinity) {
  const [u, v] = toPlane(x, y);
  let best = -1, least = (within / view.scale) ** 2;
  for (let i = 0; i < N; i++) {
    const square = (placeX[i] - u) ** 2 + (placeY[i] - v) ** 2;
    if (square < least && shown(i)) [best, least] = [i, square];
  }
  return best;
}
