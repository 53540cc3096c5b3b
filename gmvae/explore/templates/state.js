// The points and what is looked at.
const { points, plane, groups } = data;
const N = points.n, D = plane.origin.length;
const latents = unpacked(points.latents, "f4");
const rowOf = unpacked(points.rows, "u4");
const groupsOf = {
  component: unpacked(points.components, "u2"),
  class: points.classes && unpacked(points.classes, "u2"),
};
const likeliest = unpacked(points.likeliest, "u2"), probabilities = unpacked(points.probabilities, "u2");
const FULL = 65535;
const decode = data.decoder && decoderOf(data.decoder), responsibilities = mixtureOf(data.mixture);
const latentOf = (i) => Float64Array.from(latents.subarray(i * D, (i + 1) * D));
const nameOf = (i) => (points.files ? (points.shown[i] ?? points.files[i]) : `row ${rowOf[i]}`);

// A function of latents that shows what is decoded there: at once, or when the server has answered.
// Of what is asked for meanwhile the newest alone: the server may be slower than the pointer.
function shower(show) {
  if (decode) return (...latents) => show(latents.map(decode));
  let wanted = null, asking = false;
  const ask = async () => {
    asking = true;
    while (wanted) {
      const n = wanted.length, body = Float32Array.from(wanted.flatMap((z) => [...z]));
      wanted = null;
      try {
        const answer = await fetch("decode", { method: "POST", body });
        if (!answer.ok) throw new Error(answer.statusText);
        const values = new Float32Array(await answer.arrayBuffer()), area = values.length / n;
        show(Array.from({ length: n }, (_, i) => values.subarray(i * area, (i + 1) * area)));
      } catch {
        say("Nothing is decoded any more: gmvae explore --serve has ended. Start it again.");
      }
    }
    asking = false;
  };
  return (...latents) => {
    wanted = latents;
    if (!asking) ask();
  };
}

const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
const project = (z) => plane.axes.map((axis) => dot(axis, z) - dot(axis, plane.origin));
// The latent above that place of the plane which lies as far off the plane as z.
function moved(z, [u, v]) {
  const [from, at] = project(z);
  return z.map((value, i) => value + (u - from) * plane.axes[0][i] + (v - at) * plane.axes[1][i]);
}
// The one in the plane itself.
const flat = (z) => moved(Float64Array.from(plane.origin), project(z));

const placeX = new Float64Array(N), placeY = new Float64Array(N);
for (let i = 0; i < N; i++) [placeX[i], placeY[i]] = project(latents.subarray(i * D, (i + 1) * D));

// Neighbours in the file are not drawn one after the other: no class covers the others.
const order = Uint32Array.from({ length: N }, (_, i) => i);
for (let i = N - 1, seed = 1; i > 0; i--) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  const j = Math.floor((seed / 2 ** 32) * (i + 1));
  [order[i], order[j]] = [order[j], order[i]];
}

const state = {
  colour: groups.class ? "class" : "component",
  hidden: new Set(), // groups that are not shown
  z: Float64Array.from(plane.origin), // what is decoded
  held: false, // whether the pointer leaves it there
  following: false, // whether it was the pointer that moved it last
  chosen: -1, // the point whose image is shown
  near: -1, // the point below the pointer
  found: [], // by their names
  selected: [], // by a lasso
  lit: [], // the latter or the former, whichever came last; none is faint where it is empty
  lasso: null, // its corners in the plane while it is drawn
  drawing: false, // whether a drag draws one
  ends: { a: null, b: null }, // of the path: { z, name }
};
const group = () => groupsOf[state.colour];
const shown = (i) => !state.hidden.has(group()[i]);

function say(words) {
  byId("status").textContent = words;
}
