// Points by their names, and those inside a lasso with their list as CSV.
const MOST_FOUND = 50, MOST_LISTED = 200, MONTAGE = 40;

function listNames(list, ids, most) {
  list.replaceChildren(...ids.slice(0, most).map((i) => {
    const button = element("button", { type: "button" }, nameOf(i));
    button.addEventListener("click", () => {
      bringIntoView(i);
      choose(i);
    });
    return element("li", {}, button);
  }));
}

function bringIntoView(i) {
  const [x, y] = toScreen(placeX[i], placeY[i]);
  if (x < 0 || y < 0 || x > view.width || y > view.height) {
    [view.x, view.y] = [placeX[i], placeY[i]];
    redraw("base");
  }
}

function find(words) {
  const wanted = words.trim().toLowerCase();
  const fits = (i) => nameOf(i).toLowerCase().includes(wanted);
  state.found = wanted ? [...Array(N).keys()].filter(fits) : [];
  const n = state.found.length;
  state.lit = n ? state.found : state.selected;
  const cut = n > MOST_FOUND ? `, the first ${MOST_FOUND} here` : "";
  const told = `${n.toLocaleString("en")} of ${counted(N, "name")}${cut}`;
  byId("found-count").textContent = wanted ? told : "";
  listNames(byId("found"), state.found, MOST_FOUND);
  redraw("base");
}

// Whether a place lies inside corners: an edge is crossed an odd number of times on the way out.
function inside([u, v], corners) {
  let odd = false;
  corners.forEach(([x, y], i) => {
    const [xx, yy] = corners[(i + 1) % corners.length];
    if (y > v !== yy > v && u < ((xx - x) * (v - y)) / (yy - y) + x) odd = !odd;
  });
  return odd;
}

function closeLasso() {
  const corners = state.lasso ?? [];
  state.lasso = null;
  // Less than a triangle holds nothing.
  if (corners.length > 2)
    select([...Array(N).keys()].filter((i) => shown(i) && inside([placeX[i], placeY[i]], corners)));
  redraw("above");
}

function select(ids) {
  state.selected = ids;
  state.lit = ids.length ? ids : state.found;
  const n = ids.length;
  const cut = n > MOST_LISTED ? `; the first ${MOST_LISTED} are listed, the file has all` : "";
  const told = n ? `${counted(n, "image")}${cut}.` : "None: draw a lasso around points.";
  byId("selection-count").textContent = told;
  byId("selection").hidden = !n;
  listNames(byId("selected"), ids, MOST_LISTED);
  showMontage(ids.slice(0, MONTAGE));
  say(n ? `${counted(n, "image")} selected` : "Nothing selected");
  redraw("base");
}

function showMontage(ids) {
  const { width, height } = sheets, columns = Math.min(10, ids.length), canvas = byId("montage");
  if (!ids.length) return;
  sized(canvas, columns * (width + 1) - 1, Math.ceil(ids.length / columns) * (height + 1) - 1);
  canvas.style.width = `${Math.max(canvas.width, columns * 34)}px`;
  const g = canvas.getContext("2d");
  g.clearRect(0, 0, canvas.width, canvas.height);
  const left = (j) => (j % columns) * (width + 1), top = (j) => Math.floor(j / columns) * (height + 1);
  loaded.then(() => ids.forEach((i, j) => drawOriginal(g, i, left(j), top(j), width, height)));
}

// Quoted where a comma, a quote or a line's end is in it, as Python's csv does; names as they are.
const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
const cell = (value) => (/[",\r\n]/.test(value) ? quoted(value) : String(value));

function table(ids) {
  const first = points.files ? "File" : "Row", label = groups.class ? ["Label"] : [];
  const heads = [first, ...label, "Component", "Name", "Probability"];
  const rows = ids.map((i) => {
    const k = groupsOf.component[i], name = points.files ? points.files[i] : rowOf[i];
    const own = groups.class ? [groups.class.names[groupsOf.class[i]]] : [];
    return [name, ...own, k, groups.component.short[k], probabilityOf(i).toFixed(4)];
  });
  return [heads, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}

byId("search").addEventListener("input", () => find(byId("search").value));
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && state.found.length) byId("found").querySelector("button").click();
});
byId("clear").addEventListener("click", () => select([]));
byId("download").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([table(state.selected)], { type: "text/csv" }));
  element("a", { href: address, download: "selection.csv" }).click();
  // The browser has begun to save it by then.
  setTimeout(() => URL.revokeObjectURL(address), 10000);
});
