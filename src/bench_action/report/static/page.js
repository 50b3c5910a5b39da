// What report.html and the trend's pages have in common: light and dark, and Plotly figures in the page's colours.
"use strict";

const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const plotOptions = {
  displaylogo: false,
  responsive: true,
  scrollZoom: false,
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
};

// A browser may forbid a page to store anything.
function readStoredTheme() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}

function storeTheme(theme) {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // the choice lasts as long as the page
  }
}

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
}

const probe = document.createElement("i");
probe.hidden = true;

// Read a colour of the palette as `rgb(…)`: Plotly knows neither variables nor light-dark().
function readColour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

function fade(colour, alpha) {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

// Put the page's colours into the layout of a figure.
function applyTheme(layout) {
  const [line, ink] = [readColour("--line"), readColour("--ink")];
  const themed = {
    hoverlabel: { align: "left", bgcolor: readColour("--card"), bordercolor: line, font: { color: ink } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: readColour("--dim"), activecolor: readColour("--link") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    colorway: [0, 1, 2, 3, 4, 5].map((variant) => readColour(`--c${variant}`)),
    ...layout,
    font: { family: "system-ui, sans-serif", color: ink, ...layout.font },
  };
  // Plotly adds axes that a layout does not mention, in its own colours
  for (const name of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis/.test(key))])) {
    themed[name] = { gridcolor: line, linecolor: line, zerolinecolor: line, ...layout[name] };
  }
  return themed;
}

// Show the button that switches between light and dark; `redraw` is called after each switch.
function addThemeSwitch(redraw) {
  const button = document.querySelector("button.theme");
  const name = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  };
  button.hidden = false;
  name();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    storeTheme(root.dataset.theme);
    name();
    redraw();
  });
  prefersDark.addEventListener("change", () => {
    name();
    redraw();
  });
}

// before the page is painted
if (["dark", "light"].includes(readStoredTheme())) root.dataset.theme = readStoredTheme();
