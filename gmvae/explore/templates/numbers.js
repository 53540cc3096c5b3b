// Arrays out of base64, words, and elements.
const ARRAYS = { f4: Float32Array, f8: Float64Array, u2: Uint16Array, u4: Uint32Array };

function unpacked(text, kind) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return new ARRAYS[kind](bytes.buffer);
}

const byId = (id) => document.getElementById(id);

// Words of others become text nodes, and nothing else: there is no markup in them.
function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Never rounded to certainty, as in the package's pictures.
function percent(p) {
  if (p > 0.999) return ">99.9%";
  if (p < 0.001) return "<0.1%";
  return p >= 0.995 || p < 0.005 ? `${(100 * p).toFixed(1)}%` : `${(100 * p).toFixed(0)}%`;
}

const counted = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;

const data = JSON.parse(byId("data").textContent);
byId("data").remove();
