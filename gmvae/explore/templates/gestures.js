// Pointer, touch and keys on the plane.
const CLICK = 5; // pixels that a hand may tremble
const reach = (event) => (event.pointerType === "touch" ? 22 : 12); // of a finger, of a pointer
const held = new Map(); // pointers that are down: where they are
let began = null, dragging = false;

const at = (event) => {
  const box = pad.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

function lookAt(x, y, hovering = false) {
  if (state.held) return;
  setPlace(moved(state.z, toPlane(x, y)), hovering);
}

pad.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  pad.setPointerCapture?.(event.pointerId);
  const place = at(event);
  held.set(event.pointerId, place);
  began = held.size === 1 ? place : null;
  dragging = false;
  if (held.size > 1) state.lasso = null;
  else if (state.drawing || event.shiftKey) state.lasso = [toPlane(...place)];
});

pad.addEventListener("pointermove", (event) => {
  const place = at(event), before = held.get(event.pointerId);
  if (!before) {
    const near = nearest(...place, reach(event));
    if (near !== state.near) redraw("above");
    state.near = near;
    return lookAt(...place, true);
  }
  held.set(event.pointerId, place);
  if (began && Math.hypot(place[0] - began[0], place[1] - began[1]) > CLICK) dragging = true;
  if (held.size > 1) pinch(event.pointerId, before, place);
  else if (state.lasso) state.lasso.push(toPlane(...place));
  else if (!dragging) return;
  else if (event.pointerType === "touch") lookAt(...place);
  else shift(place[0] - before[0], place[1] - before[1]);
  redraw("above");
});

function shift(x, y) {
  view.x -= x / view.scale;
  view.y += y / view.scale;
  redraw("base");
}

function pinch(moving, before, place) {
  const [, other] = [...held].find(([id]) => id !== moving);
  const distance = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]));
  shift((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
  scaleBy(distance(place) / distance(before), (place[0] + other[0]) / 2, (place[1] + other[1]) / 2);
}

pad.addEventListener("pointerup", (event) => {
  if (!held.delete(event.pointerId)) return;
  if (state.lasso) {
    closeLasso();
    setDrawing(false);
  } else if (began && !dragging) click(event, ...at(event));
  began = null;
});
pad.addEventListener("pointercancel", (event) => {
  held.delete(event.pointerId);
  began = state.lasso = null;
  redraw("above");
});
pad.addEventListener("pointerleave", () => {
  state.near = -1;
  redraw("above");
});

function click(event, x, y) {
  const i = nearest(x, y, reach(event));
  if (i >= 0) return choose(i);
  if (event.pointerType === "touch") return lookAt(x, y);
  hold(!state.held);
  lookAt(x, y);
}

pad.addEventListener("wheel", (event) => {
  event.preventDefault();
  scaleBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...at(event));
  redraw("base");
}, { passive: false });

function setDrawing(drawing) {
  state.drawing = drawing;
  byId("lasso").setAttribute("aria-pressed", drawing);
  if (!drawing) state.lasso = null;
  redraw("above");
}

function stepBy(x, y, event) {
  const step = event.shiftKey ? 40 : 8, [px, py] = toScreen(...project(state.z));
  setPlace(moved(state.z, toPlane(px + step * x, py + step * y)));
  sayHere();
}

const scaled = (factor) => {
  scaleBy(factor);
  redraw("base");
};
const KEYS = {
  ArrowLeft: (event) => stepBy(-1, 0, event),
  ArrowRight: (event) => stepBy(1, 0, event),
  ArrowUp: (event) => stepBy(0, -1, event),
  ArrowDown: (event) => stepBy(0, 1, event),
  Enter() {
    if (!state.drawing) return choose(nearest(...toScreen(...project(state.z))));
    closeLasso();
    setDrawing(false);
  },
  " ": () => (state.drawing ? (state.lasso ??= []).push(project(state.z)) : hold(!state.held)),
  Escape: () => setDrawing(false),
  "+": () => scaled(1.25),
  "=": () => scaled(1.25),
  "-": () => scaled(0.8),
  0: () => (showAll(), redraw("base")),
  a: () => setEnd("a", state.z, nameHere()),
  b: () => setEnd("b", state.z, nameHere()),
  l: () => setDrawing(!state.drawing),
};
pad.addEventListener("keydown", (event) => {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act(event);
  redraw("above");
});
