// The start of a trend's page, its buttons and its keys.
function addVariantBoxes(chart) {
  for (const box of document.querySelectorAll("#variants input")) {
    const apply = () => {
      if (box.checked) chart.hidden.delete(Number(box.value));
      else chart.hidden.add(Number(box.value));
    };
    box.addEventListener("change", () => {
      apply();
      chart.draw();
    });
    apply(); // a browser that goes back restores what was ticked
  }
}

function addButtons(chart) {
  document.addEventListener("click", (event) => {
    const data = event.target.dataset || {};
    if (data.days !== undefined) chart.showDays(Number(data.days));
    else if (data.zoom) chart.zoom(Number(data.zoom));
    else if (data.pan) chart.pan(Number(data.pan));
    else if (data.step) chart.stepRun(Number(data.step));
    else if (data.percent !== undefined) {
      chart.percent = !chart.percent;
      event.target.setAttribute("aria-pressed", String(chart.percent));
      chart.draw();
    }
  });
}

function addKeys(chart) {
  const actions = {
    ArrowLeft: () => chart.pan(-0.25),
    ArrowRight: () => chart.pan(0.25),
    "+": () => chart.zoom(0.5),
    "=": () => chart.zoom(0.5),
    "-": () => chart.zoom(2),
    PageUp: () => chart.stepRun(-1),
    PageDown: () => chart.stepRun(1),
  };
  chart.place.addEventListener("keydown", (event) => {
    if (!actions[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    actions[event.key]();
  });
}

function start() {
  const place = document.getElementById("chart");
  if (!place) return addThemeSwitch(() => {}); // the index
  if (typeof trendData === "undefined" || typeof Plotly === "undefined") {
    place.lastElementChild.textContent =
      "The chart's data or plotly.min.js did not load. Check that all files of the site are in this page's folder.";
    return addThemeSwitch(() => {});
  }
  const chart = new InteractiveChart(place, trendData.pop());
  self.trendChart = chart; // for the browser's console
  addVariantBoxes(chart);
  addButtons(chart);
  addKeys(chart);
  addThemeSwitch(() => chart.draw());
  return chart.show(chart.range);
}

addEventListener("DOMContentLoaded", start);
