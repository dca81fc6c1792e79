"use strict";
// What the pages of studies, checkpoints and watches draw of a layer at one step.
const pictures = (() => {
  const colors = { blue: "#0072b2", orange: "#d55e00", grey: "#9aa5b1" };
  // ColorBrewer's red and blue, alike on both sides and told apart by the color-blind.
  const likeness = ["#053061", "#4393c3", "#f7f7f7", "#d6604d", "#67001f"].map((color, k) => [k / 4, color]);
  const element = (id) => document.getElementById(id);
  const options = { displayModeBar: false, responsive: true };
  const say = (text, fields) => text.replace(/\{(\w+)\}/g, (_, name) => fields[name]);
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const layout = (changes) => ({
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "#1c2630" },
    margin: { l: 58, r: 12, t: 12, b: 48 },
    paper_bgcolor: "rgba(0,0,0,0)",
    dragmode: false,
    ...changes,
  });

  // One layer over its snapshots, as encoded by nucleate.reporting.payload.
  const decode = (part) => ({
    ...part,
    cosine: new Int8Array(bytes(part.cosine).buffer),
    points: new Int8Array(bytes(part.points).buffer),
    sizes: bytes(part.sizes),
    singular: new Float32Array(bytes(part.singular).buffer),
    random: part.random ? new Float32Array(bytes(part.random).buffer) : null,
  });

  const at = (numbers, snapshot, count) => Array.from(numbers.subarray(snapshot * count, (snapshot + 1) * count));

  function drawDirections(part, snapshot) {
    const n = part.neurons, points = at(part.points, snapshot, 2 * n).map((value) => value / 127);
    const neurons = Array.from({ length: n }, (_, k) => [points[2 * k], points[2 * k + 1]]);
    Plotly.react("directions", [{
      type: "scatterpolar", mode: "markers",
      r: neurons.map(([x, y]) => Math.hypot(x, y)),
      theta: neurons.map(([x, y]) => Math.atan2(y, x) * 180 / Math.PI),
      marker: {
        size: at(part.sizes, snapshot, n).map((size) => 4 + 12 * Math.sqrt(size / 255)),
        color: colors.blue, opacity: 0.55, line: { width: 0.5, color: "#ffffff" },
      },
      hoverinfo: "skip",
    }], layout({
      polar: {
        radialaxis: { range: [0, 1.05], showticklabels: false, ticks: "", showline: false, nticks: 3 },
        angularaxis: { showticklabels: true, ticks: "", tickvals: [0, 90, 180, 270], ticktext: ["0°", "90°", "180°", "270°"] },
      },
      margin: { l: 34, r: 34, t: 28, b: 28 },
    }), options);
  }

  // Gives the percentage of the pairs that point the same or the opposite way.
  function drawHeat(part, snapshot, words) {
    const n = part.neurons, cosines = at(part.cosine, snapshot, n * (n - 1) / 2);
    const rows = Array.from({ length: n }, (_, k) => Array.from({ length: n }, (_, j) => (j === k ? 1 : 0)));
    let next = 0, alike = 0;
    for (let k = 0; k < n; k++) {
      for (let j = k + 1; j < n; j++) {
        rows[k][j] = rows[j][k] = cosines[next++] / 127;
        alike += Math.abs(rows[k][j]) > 0.9;
      }
    }
    Plotly.react("heat", [{
      type: "heatmap", z: rows, zmin: -1, zmax: 1, colorscale: likeness,
      colorbar: { title: { text: words.cosine, side: "right" }, thickness: 10, tickvals: [-1, 0, 1], outlinewidth: 0 },
      hovertemplate: "%{z:.2f}<extra></extra>",
    }], layout({
      xaxis: { title: { text: words.neuron }, showticklabels: false, ticks: "", fixedrange: true, constrain: "domain" },
      yaxis: { showticklabels: false, ticks: "", fixedrange: true, autorange: "reversed", scaleanchor: "x", constrain: "domain" },
      margin: { l: 12, r: 12, t: 12, b: 36 },
    }), options);
    return n > 1 ? Math.round(200 * alike / (n * (n - 1))) : 100;
  }

  // Gives the second singular value as a percentage of the largest.
  function drawSingular(part, snapshot, words) {
    const values = at(part.singular, snapshot, part.values), numbers = values.map((_, k) => k + 1);
    const traces = [{ type: "bar", x: numbers, y: values, marker: { color: colors.blue }, name: words.chosen, showlegend: false, hovertemplate: "%{y:.2f}<extra></extra>" }];
    const random = part.random ? at(part.random, snapshot, part.values) : [];
    if (random.length) {
      traces.push({
        x: numbers, y: random, mode: "lines+markers", line: { color: colors.orange, width: 1.4, dash: "dash" },
        marker: { size: 5, color: colors.orange }, name: words.random_line, showlegend: true, hovertemplate: "%{y:.2f}<extra></extra>",
      });
    }
    Plotly.react("singular", traces, layout({
      xaxis: { title: { text: words.number }, fixedrange: true, dtick: values.length > 6 ? 2 : 1, tick0: 1 },
      yaxis: { title: { text: words.singular }, range: [0, 1.03 * Math.max(1, ...random)], fixedrange: true },
      ...(random.length ? { legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 58, r: 12, t: 34, b: 48 } } : {}),
    }), options);
    return values.length > 1 ? Math.round(100 * values[1]) : 0;
  }

  // All three at one step, each in words too for who does not see it.
  function drawSnapshot(part, snapshot, words, layer, step, said) {
    element("snapshot-said").textContent = said;
    element("snapshot").setAttribute("aria-valuetext", said);
    const label = (id, fields) => element(id).setAttribute("aria-label", say(words[`${id}_alt`], { count: part.neurons, layer, step, ...fields }));
    drawDirections(part, snapshot);
    label("directions", {});
    label("heat", { share: drawHeat(part, snapshot, words) });
    label("singular", { ratio: drawSingular(part, snapshot, words) });
  }

  return { colors, element, options, say, layout, decode, drawSnapshot };
})();
