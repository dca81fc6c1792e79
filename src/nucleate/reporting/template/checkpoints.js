"use strict";
// Draws the chosen matrix: three pictures of it at one step, and its norm, rank and effective neurons over all of them.
(() => {
  const { element, options, say, decode } = pictures;
  const { blue, grey, orange } = pictures.colors;
  const data = JSON.parse(element("data").textContent);
  const words = data.texts;
  const number = (value) => value.toLocaleString(document.documentElement.lang);
  const round = (value) => (value === null ? "—" : number(Number(value.toPrecision(3))));
  const layout = (changes) => pictures.layout({
    margin: { l: 58, r: 12, t: 34, b: 48 },
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
  const alongSteps = () => ({ type: isWide ? "log" : "linear", dtick: isWide ? 1 : null, title: { text: isWide ? `${words.step} + 1` : words.step }, fixedrange: true });
  const now = () => {
    const step = x[data.shown[Number(element("snapshot").value)]];
    return { type: "line", x0: step, x1: step, y0: 0, y1: 1, yref: "paper", line: { color: orange, width: 1.2, dash: "dot" } };
  };
  let layer = 0;

  const decoded = new Map();
  function drawSnapshot() {
    if (!decoded.has(layer)) decoded.set(layer, decode(data.layers[layer]));
    const snapshot = Number(element("snapshot").value), part = decoded.get(layer);
    const step = number(data.steps[data.shown[snapshot]]);
    pictures.drawSnapshot(part, snapshot, words, part.name, step, say(words.at_step, { step, last: number(last) }));
  }

  function drawCurves(id, curves, axis, more) {
    const others = { x: [], y: [], mode: "lines", line: { color: grey, width: 1 }, opacity: 0.7, hoverinfo: "skip", showlegend: false };
    curves.forEach((curve, index) => {
      if (index !== layer) {
        others.x.push(...x, null);
        others.y.push(...curve, null);
      }
    });
    const chosen = { x, y: curves[layer], mode, line: { color: blue, width: 2.6 }, marker: { size: 5, color: blue }, name: words.chosen, hovertemplate: "%{y:.3g}<extra></extra>" };
    Plotly.react(id, [others, chosen, ...more], layout({
      hovermode: "closest",
      shapes: [now()],
      xaxis: alongSteps(),
      yaxis: { title: { text: axis }, fixedrange: true, rangemode: id === "change" ? "normal" : "tozero" },
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
    const [least, most] = [Math.min(...values), Math.max(...values)], isLog = least > 0 && most > 10 * least;
    // Plotly's own marks between powers of ten would say 5 for 0.5.
    const powers = Array.from({ length: 80 }, (_, k) => k - 40), digits = most < 1000 * least ? [1, 2, 5] : [1];
    const marks = digits.flatMap((digit) => powers.map((power) => Number(`${digit}e${power}`)));
    Plotly.react("loss", [{
      x: isWide ? steps.map((step) => step + 1) : steps, y: values, mode: "lines", line: { color: blue, width: 2.2 }, hovertemplate: "%{y:.4g}<extra></extra>", showlegend: false,
    }], layout({
      hovermode: "closest", annotations: names,
      shapes: [...bands, now()],
      xaxis: alongSteps(),
      yaxis: { title: { text: words.loss }, fixedrange: true, ...(isLog ? { type: "log", tickvals: marks, ticktext: marks.map(String) } : { rangemode: least < 0 ? "normal" : "tozero" }) },
    }), options);
    element("loss").setAttribute("aria-label", say(words.loss_alt, { start: round(values[0]), end: round(values[values.length - 1]) }));
  }

  function draw() {
    const part = data.layers[layer], ranks = part.effective_rank, ending = change[layer][change[layer].length - 1];
    drawSnapshot();
    if (data.loss) drawLoss();
    drawCurves("change", change, words.change_axis, []);
    const random = (y) => ({
      x, y, mode: data.steps.length > 1 ? "lines" : "markers", line: { color: blue, width: 1.4, dash: "dash" }, name: words.random_line, hovertemplate: "%{y:.3g}<extra></extra>",
    });
    drawCurves("rank", data.layers.map((one) => one.effective_rank), words.rank_axis, [random(part.random_rank)]);
    if (data.works) {
      const works = part.effective_neurons, known = works.filter((value) => value !== null);
      drawCurves("works", data.layers.map((one) => one.effective_neurons), words.works_axis, [random(part.random_neurons)]);
      element("works").setAttribute("aria-label", known.length
        ? say(words.works_alt, { layer: part.name, start: round(known[0]), least: round(Math.min(...known)), end: round(known[known.length - 1]) })
        : say(words.works_unknown, { layer: part.name }));
    }
    element("change").setAttribute("aria-label", say(words.change_alt, { layer: part.name, end: round(ending) }));
    element("rank").setAttribute("aria-label", say(words.rank_alt, { layer: part.name, start: round(ranks[0]), end: round(ranks[ranks.length - 1]) }));
  }

  element("layer").addEventListener("change", (event) => { layer = Number(event.target.value); draw(); });
  element("snapshot").addEventListener("input", draw);
  // Paper has a width of its own, which is not known before it is too late to draw again.
  const plots = ["directions", "heat", "singular", "change", "rank", ...(data.works ? ["works"] : []), ...(data.loss ? ["loss"] : [])];
  window.addEventListener("beforeprint", () => plots.forEach((name) => Plotly.relayout(name, { width: 220, height: 212, "font.size": 10 })));
  window.addEventListener("afterprint", () => plots.forEach((name) => Plotly.relayout(name, { width: null, height: null, autosize: true, "font.size": 13 })));
  draw();
})();
