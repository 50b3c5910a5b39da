// Times, numbers and text on the trend's pages: data are shown as text only.

// Plotly reads some HTML in its texts: nothing from the data may be markup.
function escapeMarkup(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function formatTime(ms) {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}

// Parse a time as Plotly gives it: a number, or text in UTC without a zone.
function parseTime(value) {
  if (typeof value === "number") return value;
  if (/[zZ]$/.test(value)) return Date.parse(value);
  return Date.parse(value.replace(" ", "T") + (value.length > 10 ? "Z" : ""));
}

function formatNumber(value) {
  if (value === null || value === undefined) return "–";
  return value.toLocaleString("en", { maximumSignificantDigits: 5 });
}

function formatInterval({ low, high }) {
  return low === null ? "" : ` (${formatNumber(low)} to ${formatNumber(high)})`;
}

function median(values) {
  const sorted = values.slice().sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

// Replace each `step` points by one: the last of them, with the medians of their values and bounds.
function thin(points, step) {
  const thinned = [];
  for (let i = 0; i < points.length; i += step) {
    const group = points.slice(i, i + step);
    const bounded = group.filter((point) => point.low !== null && point.low !== undefined);
    thinned.push({
      ...group[group.length - 1],
      value: median(group.map((point) => point.value)),
      low: bounded.length ? median(bounded.map((point) => point.low)) : null,
      high: bounded.length ? median(bounded.map((point) => point.high)) : null,
      of: group.length,
    });
  }
  return thinned;
}

function makeElement(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function setStatus(text) {
  document.getElementById("status").textContent = text;
}
