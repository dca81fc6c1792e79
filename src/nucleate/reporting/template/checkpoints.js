"use strict";
// Draws the chosen matrix: its cosines at one step, and its norm and effective rank over all of them.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const words = data.texts;
  const blue = "#0072b2", grey = "#9aa5b1", orange = "#d55e00";
  // ColorBrewer's red and blue, alike on both sides and told apart by the color-blind.
  const likeness = ["#053061", "#4393c3", "#f7f7f7", "#d6604d", "#67001f"].map((color, k) => [k / 4, color]);
  const element = (id) => document.getElementById(id);
  const options = { displayModeBar: false, responsive: true };
  const say = (text, fields) => text.replace(/\{(\w+)\}/g, (_, name) => fields[name]);
  const number = (value) => value.toLocaleString(document.documentElement.lang);
  const round = (value) => (value === null ? "—" : number(Number(value.toPrecision(3))));
  const layout = (changes) => ({
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "#1c2630" },
    margin: { l: 58, r: 12, t: 34, b: 48 },
    paper_bgcolor: "rgba(0,0,0,0)",
    dragmode: false,
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    ...changes,
  });
  const last = data.steps[data.steps.length - 1];
  // Runs are saved at even steps, or at ever longer distances.
  const isWide = (last + 1) / (data.steps[0] + 1) > 100;
  const x = isWide ? data.steps.map((step) => step + 1) : data.steps;
  const change = data.layers.map(({ norm }) => norm.map((value) => (norm[0] && value !== null ? value / norm[0] - 1 : null)));
  const mode = data.steps.length > 1 ? "lines+markers" : "markers";
  let layer = 0;

  function drawHeat() {
    const index = Number(element("snapshot").value), part = data.layers[layer], n = part.units;
    const bytes = Uint8Array.from(atob(part.cosine), (character) => character.charCodeAt(0));
    const cosines = new Int8Array(bytes.buffer);
    const rows = Array.from({ length: n }, (_, k) => Array.from({ length: n }, (_, j) => (j === k ? 1 : 0)));
    let at = index * (n * (n - 1)) / 2, alike = 0;
    for (let k = 0; k < n; k++) {
      for (let j = k + 1; j < n; j++) {
        rows[k][j] = rows[j][k] = cosines[at++] / 127;
        alike += Math.abs(rows[k][j]) > 0.9;
      }
    }
    const step = number(data.steps[data.shown[index]]), said = say(words.at_step, { step, last: number(last) });
    element("snapshot-said").textContent = said;
    element("snapshot").setAttribute("aria-valuetext", said);
    Plotly.react("heat", [{
      type: "heatmap", z: rows, zmin: -1, zmax: 1, colorscale: likeness,
      colorbar: { title: { text: words.cosine, side: "right" }, thickness: 10, tickvals: [-1, 0, 1], outlinewidth: 0 },
      hovertemplate: "%{z:.2f}<extra></extra>",
    }], layout({
      xaxis: { title: { text: words.unit }, showticklabels: false, ticks: "", fixedrange: true, constrain: "domain" },
      yaxis: { showticklabels: false, ticks: "", fixedrange: true, autorange: "reversed", scaleanchor: "x", constrain: "domain" },
      margin: { l: 12, r: 12, t: 12, b: 36 },
    }), options);
    const share = n > 1 ? Math.round(200 * alike / (n * (n - 1))) : 100;
    element("heat").setAttribute("aria-label", say(words.heat_alt, { count: n, layer: part.name, step, share }));
  }

  function drawCurves(id, curves, axis, more) {
    const others = { x: [], y: [], mode: "lines", line: { color: grey, width: 0.6 }, opacity: 0.6, hoverinfo: "skip", showlegend: false };
    curves.forEach((curve, index) => {
      if (index !== layer) {
        others.x.push(...x, null);
        others.y.push(...curve, null);
      }
    });
    const chosen = { x, y: curves[layer], mode, line: { color: blue, width: 2.6 }, marker: { size: 5, color: blue }, name: words.chosen, hovertemplate: "%{y:.3g}<extra></extra>" };
    const now = x[data.shown[Number(element("snapshot").value)]];
    Plotly.react(id, [others, chosen, ...more], layout({
      hovermode: "closest",
      shapes: [{ type: "line", x0: now, x1: now, y0: 0, y1: 1, yref: "paper", line: { color: orange, width: 1.2, dash: "dot" } }],
      xaxis: { type: isWide ? "log" : "linear", dtick: isWide ? 1 : null, title: { text: isWide ? `${words.step} + 1` : words.step }, fixedrange: true },
      yaxis: { title: { text: axis }, fixedrange: true, rangemode: id === "rank" ? "tozero" : "normal" },
    }), options);
  }

  // Bands behind the loss: grey plateaus between white descents.
  const onLog = (step) => (isWide ? Math.log10(step + 1) : step);

  function drawLoss() {
    const { steps, values, stages } = data.loss;
    const bands = stages.filter(({ name }) => name !== "descent").map(({ name, start, end }) => ({
      type: "rect", x0: isWide ? start + 1 : start, x1: isWide ? end + 1 : end, y0: 0, y1: 1, yref: "paper", layer: "below",
      fillcolor: name === "rise" ? "#fbe9dd" : "#eef1f4", line: { width: 0 },
    }));
    const names = stages.filter(({ start, end }) => onLog(end) - onLog(start) > 0.12 * (onLog(last) - onLog(0))).map(({ name, start, end }) => ({
      x: (onLog(start) + onLog(end)) / 2, xref: "x", y: 1, yref: "paper", yanchor: "bottom", showarrow: false,
      text: words[`stage_${name}`], font: { size: 11 },
    }));
    const now = x[data.shown[Number(element("snapshot").value)]];
    Plotly.react("loss", [{
      x: isWide ? steps.map((step) => step + 1) : steps, y: values, mode: "lines", line: { color: blue, width: 2.2 }, hovertemplate: "%{y:.4g}<extra></extra>", showlegend: false,
    }], layout({
      hovermode: "closest", annotations: names,
      shapes: [...bands, { type: "line", x0: now, x1: now, y0: 0, y1: 1, yref: "paper", line: { color: orange, width: 1.2, dash: "dot" } }],
      xaxis: { type: isWide ? "log" : "linear", dtick: isWide ? 1 : null, title: { text: isWide ? `${words.step} + 1` : words.step }, fixedrange: true },
      yaxis: { title: { text: words.loss }, fixedrange: true, type: Math.min(...values) > 0 ? "log" : "linear", dtick: Math.min(...values) > 0 && Math.max(...values) > 10 * Math.min(...values) ? 1 : null },
    }), options);
    element("loss").setAttribute("aria-label", say(words.loss_alt, { start: round(values[0]), end: round(values[values.length - 1]) }));
  }

  function draw() {
    const part = data.layers[layer], ranks = part.effective_rank, ending = change[layer][change[layer].length - 1];
    drawHeat();
    if (data.loss) drawLoss();
    drawCurves("change", change, words.change_axis, []);
    drawCurves("rank", data.layers.map((one) => one.effective_rank), words.rank_axis, [{
      x, y: part.random_rank, mode: data.steps.length > 1 ? "lines" : "markers", line: { color: blue, width: 1.4, dash: "dash" }, name: words.random_line, hovertemplate: "%{y:.3g}<extra></extra>",
    }]);
    element("change").setAttribute("aria-label", say(words.change_alt, { layer: part.name, end: round(ending) }));
    element("rank").setAttribute("aria-label", say(words.rank_alt, { layer: part.name, start: round(ranks[0]), end: round(ranks[ranks.length - 1]) }));
  }

  element("layer").addEventListener("change", (event) => { layer = Number(event.target.value); draw(); });
  element("snapshot").addEventListener("input", draw);
  // Paper has a width of its own, which is not known before it is too late to draw again.
  const plots = ["heat", "change", "rank", ...(data.loss ? ["loss"] : [])];
  window.addEventListener("beforeprint", () => plots.forEach((name) => Plotly.relayout(name, { width: 220, height: 212, "font.size": 10 })));
  window.addEventListener("afterprint", () => plots.forEach((name) => Plotly.relayout(name, { width: null, height: null, autosize: true, "font.size": 13 })));
  draw();
})();
