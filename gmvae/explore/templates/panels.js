// What stands beside the plane: images and bars.
const [CHANNELS, HEIGHT, WIDTH] = data.image;
document.documentElement.style.setProperty("--shape", WIDTH / HEIGHT);
// Bars that can be read at a glance; of more components the likeliest.
const MOST_BARS = 12;

// Sprites: each sheet is a picture that holds many images.
const { sheets } = points;
const pictures = sheets.addresses.map((address) => Object.assign(new Image(), { src: address }));
const loaded = Promise.all(pictures.map((picture) => picture.decode()));

// An image in [0, 1], channel by channel, on a canvas at a place of it.
function drawPixels(g, values, x = 0, y = 0) {
  const picture = g.createImageData(WIDTH, HEIGHT), area = WIDTH * HEIGHT;
  const coloured = CHANNELS === 3 || CHANNELS === 4;
  for (let i = 0; i < area; i++) {
    let grey = 0;
    if (!coloured) for (let c = 0; c < CHANNELS; c++) grey += values[c * area + i] / CHANNELS;
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = 255 * (coloured ? values[c * area + i] : grey);
    picture.data[4 * i + 3] = 255 * (CHANNELS === 4 ? values[3 * area + i] : 1);
  }
  g.putImageData(picture, x, y);
}

function showPixels(canvas, values) {
  sized(canvas, WIDTH, HEIGHT);
  drawPixels(canvas.getContext("2d"), values);
}

function sized(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

// The image of a point, from its sheet, on a canvas at a place of it.
function drawOriginal(g, i, x, y, width, height) {
  const { columns, rows, width: w, height: h } = sheets;
  const sheet = Math.floor(i / (columns * rows)), at = i % (columns * rows);
  g.imageSmoothingEnabled = false;
  g.drawImage(pictures[sheet], (at % columns) * w, Math.floor(at / columns) * h, w, h, x, y, width, height);
}

function bar(list) {
  const name = element("span"), fill = element("div", { className: "fill" }), value = element("span");
  const track = element("div", { className: "track" }, fill);
  list.append(element("li", {}, name, track, value));
  return { name, fill, value };
}

// Of components with their probabilities, in that order; elements that are there are used again.
const bars = new Map();
function showBars(list, entries) {
  if (!bars.has(list)) bars.set(list, []);
  const there = bars.get(list);
  while (there.length < entries.length) there.push(bar(list));
  while (there.length > entries.length) {
    there.pop();
    list.lastChild.remove();
  }
  entries.forEach(([k, p], i) => {
    const { name, fill, value } = there[i];
    if (name.textContent !== groups.component.names[k]) {
      name.textContent = groups.component.names[k];
      name.title = groups.component.names[k];
      fill.style.background = groups.component.looks[k][0];
    }
    fill.style.width = `${(100 * p).toFixed(1)}%`;
    value.textContent = percent(p);
  });
}

// All components in their order, or the likeliest of many.
function entriesOf(p) {
  const entries = [...p].map((value, k) => [k, value]);
  if (entries.length <= MOST_BARS) return entries;
  return entries.sort((x, y) => y[1] - x[1]).slice(0, MOST_BARS);
}

const likeliestAt = (p) => p.indexOf(Math.max(...p));

const showDecoded = shower(([values]) => showPixels(byId("decoded"), values));
const showReconstruction = shower(([values]) => showPixels(byId("reconstruction"), values));

// What is decoded at state.z, and what is said of it.
function showHere() {
  showDecoded(state.z);
  showBars(byId("here-bars"), entriesOf(responsibilities(state.z)));
  showSliders();
}

// In words, for who does not see the bars.
function sayHere() {
  const p = responsibilities(state.z), k = likeliestAt(p), [u, v] = project(state.z);
  say(`At ${u.toFixed(2)}, ${v.toFixed(2)}: ${groups.component.names[k]}, ${percent(p[k])}`);
}

// A point's component: the likeliest, by q(y | x).
const probabilityOf = (i) => {
  const per = points.perPoint;
  const at = likeliest.subarray(i * per, (i + 1) * per).indexOf(groupsOf.component[i]);
  return at < 0 ? 0 : probabilities[i * per + at] / FULL;
};

function choose(i) {
  state.chosen = i;
  byId("no-image").hidden = i >= 0;
  byId("image").hidden = i < 0;
  if (i >= 0) {
    const label = groups.class ? `, labelled ${groups.class.names[groupsOf.class[i]]}` : "";
    byId("image-name").textContent = `${nameOf(i)}${label}`;
    const { width, height } = sheets, g = byId("original").getContext("2d");
    sized(byId("original"), width, height);
    loaded.then(() => {
      if (state.chosen === i) drawOriginal(g, i, 0, 0, width, height);
    });
    showReconstruction(latentOf(i));
    const per = points.perPoint;
    const ranks = Array.from({ length: per }, (_, j) => i * per + j);
    const entries = ranks.map((rank) => [likeliest[rank], probabilities[rank] / FULL]);
    // In the order of all components where none is left out.
    if (per === groups.component.names.length) entries.sort((x, y) => x[0] - y[0]);
    showBars(byId("image-bars"), entries);
    const k = groupsOf.component[i];
    say(`${nameOf(i)}${label}: ${groups.component.names[k]}, ${percent(probabilityOf(i))}`);
  }
  redraw("above");
}

// Sliders of the latent: as far as points and components reach.
const sliders = [];
function makeSliders() {
  for (let d = 0; d < D; d++) {
    let [low, high] = [Infinity, -Infinity];
    for (let i = d; i < latents.length; i += D) {
      low = Math.min(low, latents[i]);
      high = Math.max(high, latents[i]);
    }
    const room = 0.1 * (high - low) || 1;
    const input = element("input", { type: "range", min: low - room, max: high + room, step: "any" });
    const output = element("output");
    input.addEventListener("input", () => {
      setPlace(state.z.with(d, Number(input.value)));
      hold(true);
    });
    const name = element("span", {}, `latent ${d + 1}`);
    byId("sliders").append(element("label", { className: "slider" }, name, input, output));
    sliders.push({ input, output });
  }
}

function showSliders() {
  sliders.forEach(({ input, output }, d) => {
    if (document.activeElement !== input) input.value = state.z[d];
    output.textContent = state.z[d].toFixed(2);
  });
  if (byId("off")) {
    const there = flat(state.z), off = Math.hypot(...state.z.map((value, i) => value - there[i]));
    byId("off").textContent = off > 0.005 ? `${off.toFixed(2)} off it` : "on it";
  }
}

// What is decoded; by the pointer where it follows that.
function setPlace(z, following = false) {
  state.z = z;
  state.following = following;
  showEnds();
  redraw("here");
}

function hold(held) {
  state.held = held;
  byId("hold").checked = held;
  showEnds();
  redraw("above");
}

// On its way to these buttons the pointer would take the place along.
function showEnds() {
  for (const button of document.querySelectorAll(".end[data-of=here]")) {
    button.disabled = state.following && !state.held;
    button.title = button.disabled ? "Hold a place first: click beside all points" : "";
  }
}
