"use strict";
(() => {
  const narrow = 640; // pixels, as in the style
  const coarse = matchMedia("(pointer: coarse)").matches;

  // Puts panels that lie side by side one below the other.
  function stack(layout, height) {
    const panels = Object.keys(layout)
      .filter((key) => key.startsWith("yaxis"))
      .map((key) => ({ y: key, x: key.replace("y", "x") }))
      .filter((panel) => layout[panel.x]);
    const end = (axis) => (axis.domain || [0, 1])[1];
    panels.sort((a, b) => end(layout[b.y]) - end(layout[a.y]) || end(layout[a.x]) - end(layout[b.x]));
    const share = 1 / panels.length, gap = panels.length > 1 ? 56 / (height * panels.length) : 0;
    const moved = panels.map((panel, place) => {
      const top = 1 - place * share - (place ? gap / 2 : 0);
      const old = { x: layout[panel.x].domain || [0, 1], y: layout[panel.y].domain || [0, 1] };
      layout[panel.x].domain = [0, 1];
      layout[panel.y].domain = [Math.max(0, top - share + gap), top];
      return { old, now: layout[panel.y].domain };
    });
    panels.slice(0, -1).forEach((panel) => { delete layout[panel.x].title; });
    for (const note of layout.annotations || []) {
      const panel = moved.find(({ old }) => Math.abs((old.x[0] + old.x[1]) / 2 - note.x) < 0.01 && Math.abs(old.y[1] - note.y) < 0.01);
      if (panel) [note.x, note.y] = [0.5, panel.now[1]];
    }
    return panels.length;
  }

  function draw(box) {
    const figure = JSON.parse(document.getElementById(box.id.replace("chart", "figure")).textContent);
    const layout = figure.layout;
    const colour = (name) => getComputedStyle(box).getPropertyValue(name).trim();
    const small = box.clientWidth < narrow;
    layout.height = Number(box.dataset.height);
    if (small) {
      const panels = stack(layout, Number(box.dataset.stacked));
      if (panels > 1) layout.height = panels * Number(box.dataset.stacked) + 150;
      const bar = figure.data.some((trace) => trace.colorbar);
      layout.margin = { ...layout.margin, l: 40, r: bar ? 90 : 10 };
    }
    layout.font = { ...layout.font, color: colour("--soft"), size: 12, family: getComputedStyle(box).fontFamily };
    const titled = Object.keys(layout).some((key) => key.startsWith("xaxis") && layout[key].title);
    layout.margin = { ...layout.margin, b: titled ? 100 : 80 };
    const drawn = layout.height - (layout.margin.t || 30) - layout.margin.b;
    layout.legend = { ...layout.legend, y: -(titled ? 56 : 40) / drawn, yanchor: "top" };
    layout.hoverlabel = { bgcolor: colour("--panel"), bordercolor: colour("--rule"), font: { color: colour("--ink") } };
    layout.dragmode = coarse ? false : "zoom"; // a finger scrolls the page
    layout.width = box.clientWidth - 20; // the box has 10 pixels of padding
    box.replaceChildren();
    Plotly.newPlot(box, figure.data, layout, { displayModeBar: false, responsive: false });
  }

  const boxes = [...document.querySelectorAll(".report .chart")];
  const drawAll = () => boxes.forEach(draw);
  let waiting = 0, width = 0;
  const later = () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 120); };
  drawAll();
  new ResizeObserver(([entry]) => {
    if (width && width !== entry.contentRect.width) later();
    width = entry.contentRect.width;
  }).observe(document.querySelector(".report .sheet"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll(".report details:not([open])")];
    closed.forEach((one) => { one.open = true; });
    drawAll();
  });
  addEventListener("afterprint", () => { closed.forEach((one) => { one.open = false; }); drawAll(); });
})();
