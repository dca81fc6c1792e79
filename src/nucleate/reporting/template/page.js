"use strict";
// Draws the chosen runs: their losses, and three pictures of one snapshot of the first of them.
(() => {
  const { element, options, say, layout, decode } = pictures;
  const { blue, orange } = pictures.colors, grey = "#55606b";
  const data = JSON.parse(document.getElementById("data").textContent);
  const words = data.texts;
  const round = (value) => Number(value.toPrecision(3)).toLocaleString(document.documentElement.lang);
  let cell = data.selected, layer = 0;

  const decoded = new Map();
  function snapshots(index) {
    const packed = data.cells[index].snapshots;
    if (packed && !decoded.has(index)) decoded.set(index, { steps: packed.steps, layers: packed.layers.map(decode) });
    return decoded.get(index);
  }

  function drawLoss() {
    const chosen = data.cells[cell];
    const traces = [];
    chosen.curves.forEach((curves, seed) => curves.forEach((losses, kind) => traces.push({
      x: data.steps.slice(0, losses.length).map((step) => step + 1),
      y: losses,
      // A run that ended at once is a point.
      mode: losses.length > 1 ? "lines" : "markers",
      line: { color: kind ? orange : blue, width: 1.6, dash: kind ? "dot" : "solid" },
      name: kind ? words.validation : words.train,
      legendgroup: String(kind),
      showlegend: seed === 0,
      hovertemplate: "%{y:.3g}<extra></extra>",
    })));
    const shapes = [], line = (name, x, color, dash) => {
      shapes.push({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line: { color, width: 2, dash } });
      traces.push({ x: [null], y: [null], mode: "lines", line: { color, width: 2, dash }, name });
    };
    if (chosen.forecast) {
      const { end, interval, sure } = chosen.forecast;
      if (interval && sure) {
        shapes.push({ type: "rect", x0: interval[0] + 1, x1: interval[1] + 1, y0: 0, y1: 1, yref: "paper", fillcolor: "#009e73", opacity: 0.25, line: { width: 0 } });
        traces.push({ x: [null], y: [null], mode: "markers", marker: { symbol: "square", size: 12, color: "#009e73", opacity: 0.35 }, name: words.interval });
      }
      line(sure ? words.forecast : words.forecast_rough, end + 1, "#007a59", "dash");
    }
    const drawnLosses = chosen.curves.flat(2), [low, high] = [Math.min, Math.max].map((end) => Math.log10(end(...drawnLosses)));
    // Plotly shows two decades around a loss that stays the same, with marks over each other.
    const flat = drawnLosses.length && high - low < 0.05 ? { range: [(low + high) / 2 - 0.03, (low + high) / 2 + 0.03] } : {};
    const shown = snapshots(cell);
    if (shown) line(words.now, shown.steps[Number(element("snapshot").value)] + 1, grey, "solid");
    Plotly.react("loss", traces, layout({
      shapes,
      hovermode: "closest",
      xaxis: { type: "log", title: { text: `${words.step} + 1` }, fixedrange: true, dtick: 1, range: [0, Math.log10(data.last + 1)] },
      yaxis: { type: "log", title: { text: words.loss }, fixedrange: true, exponentformat: "power", dtick: high - low > 0.9 ? 1 : null, ...flat },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      margin: { l: 64, r: 12, t: 60, b: 48 },
    }), options);
    // A run whose loss is NaN at its start has none.
    const first = chosen.curves[0][0];
    const [start, end] = first.length ? [first[0], first[first.length - 1]].map(round) : ["—", "—"];
    element("loss").setAttribute("aria-label", say(words.loss_alt, { cell: chosen.name, start, end }));
  }

  function drawSnapshot() {
    const shown = snapshots(cell);
    element("snapshots").hidden = !shown;
    element("no-snapshots").hidden = Boolean(shown);
    if (!shown) return;
    const snapshot = Number(element("snapshot").value), part = shown.layers[layer];
    const step = shown.steps[snapshot].toLocaleString(document.documentElement.lang);
    const said = say(words.snapshot, { step, last: data.last.toLocaleString(document.documentElement.lang) });
    pictures.drawSnapshot(part, snapshot, words, data.names[layer], step, said);
    element("directions-said").textContent = part.polar ? words.directions_polar : words.directions;
  }

  // The most telling snapshot to begin with: where the layer's neurons are most alike.
  function mostAlike(shown) {
    const part = shown.layers[layer], pairs = part.cosine.length / shown.steps.length;
    const alike = shown.steps.map((_, snapshot) => part.cosine.subarray(snapshot * pairs, (snapshot + 1) * pairs).reduce((sum, value) => sum + Math.abs(value), 0));
    return alike.indexOf(Math.max(...alike));
  }

  function choose(index) {
    cell = index;
    const shown = snapshots(cell);
    if (shown) {
      element("snapshot").max = shown.steps.length - 1;
      element("snapshot").value = mostAlike(shown);
    }
    element("cell").value = String(cell);
    document.querySelectorAll("[data-cell]").forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.cell) === cell)));
    document.querySelectorAll("[data-runs]").forEach((rows) => { rows.hidden = Number(rows.dataset.runs) !== cell; });
    drawSnapshot();
    drawLoss();
  }

  // A map is one stop of the tab key; arrows move inside it.
  document.querySelectorAll("[data-map]").forEach((map) => {
    const rows = Array.from(map.tBodies[0].rows, (row) => Array.from(row.cells).slice(1).map((field) => field.querySelector("button")));
    const buttons = rows.flat().filter(Boolean);
    const stop = (button) => buttons.forEach((other) => { other.tabIndex = other === button ? 0 : -1; });
    stop(buttons.find((button) => Number(button.dataset.cell) === cell) || buttons[0]);
    map.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) { stop(button); choose(Number(button.dataset.cell)); }
    });
    map.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!move) return;
      event.preventDefault();
      let row = rows.findIndex((fields) => fields.includes(document.activeElement));
      let column = rows[row].indexOf(document.activeElement);
      do { row += move[0]; column += move[1]; } while (rows[row] && column in rows[row] && !rows[row][column]);
      const button = rows[row] && rows[row][column];
      if (button) { stop(button); button.focus(); }
    });
  });
  element("cell").addEventListener("change", (event) => choose(Number(event.target.value)));
  element("snapshot").addEventListener("input", () => { drawSnapshot(); drawLoss(); });
  element("layer").addEventListener("change", (event) => { layer = Number(event.target.value); drawSnapshot(); });
  // Paper has a width of its own, which is not known before it is too late to draw again.
  const plots = [["loss", 660, 280], ["directions", 212, 212], ["heat", 230, 212], ["singular", 212, 212]];
  const drawn = () => plots.filter(([name]) => element(name).data);
  const relayout = (name, changes) => Plotly.relayout(name, name === "loss" ? { ...changes, "margin.t": changes.width ? 90 : 60 } : changes);
  window.addEventListener("beforeprint", () => drawn().forEach(([name, width, height]) => relayout(name, { width, height, "font.size": 10 })));
  window.addEventListener("afterprint", () => drawn().forEach(([name]) => relayout(name, { width: null, height: null, autosize: true, "font.size": 13 })));
  choose(cell);
})();
