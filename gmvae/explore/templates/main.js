// What is to be drawn again is noted, and drawn once in the next frame.
let wanted = null;
function redraw(what) {
  if (!wanted) requestAnimationFrame(drawWanted);
  (wanted ??= new Set()).add(what);
}

function drawWanted() {
  const now = wanted;
  wanted = null;
  if (now.has("all")) prepare();
  if (now.has("base") || now.has("all")) drawBase();
  if (now.has("here") || now.has("all")) showHere();
  drawAbove();
}

function showLegend() {
  const { names, looks } = groups[state.colour], of = group(), counts = names.map(() => 0);
  for (const k of of) counts[k]++;
  byId("legend").replaceChildren(...names.map((name, k) => {
    const words = `${name} (${counts[k].toLocaleString("en")})`;
    const button = element("button", { type: "button" }, markOf(looks[k]), words);
    button.setAttribute("aria-pressed", true);
    button.addEventListener("click", () => {
      const off = !state.hidden.delete(k);
      if (off) state.hidden.add(k);
      button.setAttribute("aria-pressed", !off);
      redraw("base");
    });
    return element("li", {}, button);
  }));
}

function colourBy(what) {
  state.colour = what;
  state.hidden.clear();
  showLegend();
  redraw("all");
}

for (const input of document.querySelectorAll("[name=colour]")) {
  input.checked = input.value === state.colour;
  input.addEventListener("change", () => colourBy(input.value));
}
byId("colours").hidden = !groups.class;
byId("lasso").addEventListener("click", () => setDrawing(!state.drawing));
byId("closer").addEventListener("click", () => scaled(1.4));
byId("farther").addEventListener("click", () => scaled(1 / 1.4));
byId("whole").addEventListener("click", () => KEYS[0]());
byId("hold").addEventListener("change", () => hold(byId("hold").checked));
byId("go").addEventListener("click", () => {
  setPlace(latentOf(state.chosen));
  hold(true);
});
byId("flat")?.addEventListener("click", () => setPlace(flat(state.z)));
// A page may be asked for its parts by who looks into it.
const place = (i) => [placeX[i], placeY[i]];
window.gmvae = { axes: plane.axes, decode, nameOf, place, responsibilities, select, state, toScreen };

prepare();
showAll();
makeSliders();
showLegend();
showPath();
redraw("all");
new ResizeObserver(() => {
  const before = view.whole === view.scale;
  prepare();
  if (before) showAll();
  // At once: a canvas of another size is empty.
  drawBase();
  drawAbove();
}).observe(pad);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw("all"));
