// The straight way from one latent to another.
const STEPS_SHOWN = 10, SECONDS = 4;
let playing = 0;

const along = (share) => state.ends.a.z.map((value, i) => value + share * (state.ends.b.z[i] - value));

const showStrip = shower((images) => {
  const g = byId("strip").getContext("2d");
  images.forEach((values, i) => drawPixels(g, values, i * (WIDTH + 1), 0));
});

function setEnd(letter, z, name) {
  state.ends[letter] = { z: Float64Array.from(z), name };
  showPath();
  redraw("above");
}

function showPath() {
  const { a, b } = state.ends;
  byId("path-ends").textContent =
    a && b ? `From ${a.name} to ${b.name}.`
    : a ? `From ${a.name}: choose its end, above.`
    : b ? `To ${b.name}: choose its start, above.`
    : "Choose its start and its end, above, or by the keys A and B.";
  byId("path").hidden = !(a && b);
  if (!(a && b)) return;
  const strip = byId("strip");
  sized(strip, STEPS_SHOWN * (WIDTH + 1) - 1, HEIGHT);
  strip.style.width = `${Math.min(STEPS_SHOWN * 56, Math.max(strip.width, 400))}px`;
  showStrip(...Array.from({ length: STEPS_SHOWN }, (_, i) => along(i / (STEPS_SHOWN - 1))));
}

function walk(share) {
  setPlace(along(share));
  byId("along").value = 100 * share;
  hold(true);
}

function play() {
  if (playing) return stop();
  byId("play").textContent = "Stop";
  const from = Number(byId("along").value) >= 100 ? 0 : Number(byId("along").value) / 100;
  let begun = null;
  const step = (now) => {
    begun ??= now;
    const share = Math.min(1, from + (now - begun) / 1000 / SECONDS);
    walk(share);
    if (share < 1) playing = requestAnimationFrame(step);
    else stop();
  };
  playing = requestAnimationFrame(step);
}

function stop() {
  cancelAnimationFrame(playing);
  playing = 0;
  byId("play").textContent = "Play";
}

const nameHere = () => `(${project(state.z).map((value) => value.toFixed(2)).slice(0, D).join(", ")})`;
for (const button of document.querySelectorAll(".end"))
  button.addEventListener("click", () => {
    const ofImage = button.dataset.of === "image";
    const [z, name] = ofImage ? [latentOf(state.chosen), nameOf(state.chosen)] : [state.z, nameHere()];
    setEnd(button.dataset.end, z, name);
  });
byId("along").addEventListener("input", () => {
  stop();
  walk(Number(byId("along").value) / 100);
});
byId("play").addEventListener("click", play);
