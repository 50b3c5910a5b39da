// The chart of a trend's page. Data files are scripts that push one value each to `trendData`.
const DAY = 86400e3;
const MOST_POINTS = 600;
const COMMIT = /^[0-9a-f]{7,64}$/;

class InteractiveChart {
  constructor(place, recent) {
    this.place = place;
    this.about = recent.chart;
    this.chunks = [recent];
    this.older = this.about.older.slice();
    this.hidden = new Set(); // variants
    this.pinned = null; // the run that is shown in words
    this.loading = Promise.resolve();
    this.percent = false;
    this.changes = this.about.changes.slice().sort((a, b) => (a.at < b.at ? -1 : 1));
    this.readChunks();
    const first = this.older.length ? Date.parse(this.older[this.older.length - 1].first) : this.times[0];
    this.whole = [first - DAY / 2, this.times[this.times.length - 1] + DAY / 2];
    const shown = this.times[Math.max(0, this.times.length - 120)];
    this.range = [Math.max(shown - DAY / 2, this.whole[0]), this.whole[1]];
  }

  // Join the chunks, oldest first, into `runs` and the `points` of each series.
  readChunks() {
    this.chunks.sort((a, b) => b.chunk - a.chunk);
    this.runs = [];
    this.points = this.about.series.map(() => []);
    for (const chunk of this.chunks) {
      const start = this.runs.length;
      chunk.at.forEach((at, i) =>
        this.runs.push({
          at: Date.parse(at),
          sha: chunk.sha[i],
          id: chunk.id[i],
          machine: chunk.machines[chunk.machine[i]],
          again: chunk.again.includes(i),
        }),
      );
      for (const { series, run: places, value, low, high } of chunk.columns) {
        places.forEach((place, i) => {
          const run = start + place;
          this.points[series].push({ run, at: this.runs[run].at, value: value[i], low: low[i], high: high[i] });
        });
      }
    }
    this.times = this.runs.map((run) => run.at);
    this.machines = [...new Set(this.runs.map((run) => run.machine))];
  }

  // Load older chunks until the runs since `from` are here.
  async loadSince(from) {
    while (this.older.length && this.times[0] > from) {
      const next = this.older.shift();
      setStatus(`Loading runs from ${next.first.slice(0, 10)} to ${next.last.slice(0, 10)} …`);
      try {
        await loadScript(next.file);
      } catch {
        setStatus(`Could not load ${next.file}: the site is incomplete.`);
        return;
      }
      this.chunks.push(trendData.pop());
      this.readChunks();
    }
  }

  show([from, to]) {
    const width = Math.min(Math.max(to - from, DAY / 4), this.whole[1] - this.whole[0]);
    const end = Math.min(Math.max(to, this.whole[0] + width), this.whole[1]);
    this.range = [end - width, end];
    this.loading = this.loading.then(() => this.loadSince(this.range[0])).then(() => this.draw());
    return this.loading;
  }

  zoom(factor) {
    const [from, to] = this.range;
    const [half, centre] = [((to - from) * factor) / 2, (from + to) / 2];
    return this.show([centre - half, centre + half]);
  }

  pan(share) {
    const [from, to] = this.range;
    return this.show([from + (to - from) * share, to + (to - from) * share]);
  }

  showDays(days) {
    return this.show(days ? [this.whole[1] - days * DAY, this.whole[1]] : this.whole);
  }

  isInRange(at) {
    return at >= this.range[0] && at <= this.range[1];
  }

  isHidden(series) {
    return this.hidden.has(this.about.series[series]);
  }

  seriesColour(series) {
    return readColour(`--c${this.about.series[series] % 6}`);
  }

  seriesVariant(series) {
    return this.about.variants[this.about.series[series]];
  }

  async draw() {
    if (!this.drawn) this.place.textContent = "";
    const shown = this.points.map((all, series) => (this.isHidden(series) ? null : this.selectPoints(all)));
    const step = Math.max(1, ...shown.filter(Boolean).map((selection) => selection.step));
    const traces = shown.flatMap((selection, series) => (selection ? this.makeTraces(series, selection.points) : []));
    await Plotly.react(this.place, [...traces, this.makeRunnerTrace()], this.makeLayout(), {
      ...plotOptions,
      displayModeBar: this.place.clientWidth >= 560,
    });
    if (!this.drawn) {
      this.drawn = true;
      this.listen();
      performance.mark("trend-first-chart");
    }
    const runs = this.times.filter((at) => this.isInRange(at)).length.toLocaleString("en");
    const [from, to] = this.range.map((ms) => formatTime(ms).slice(0, 10));
    const thinned = step > 1 ? `; each point stands for ${step} runs: zoom in to see them` : "";
    setStatus(`${runs} runs from ${from} to ${to}${thinned}`);
    this.place.dataset.drawn = String(Number(this.place.dataset.drawn || 0) + 1);
  }

  // Select the points in the range and the next on each side, so that lines continue; thinned if there are many.
  selectPoints(points) {
    let first = points.findIndex((point) => point.at >= this.range[0]);
    if (first < 0) first = points.length;
    let last = points.length;
    while (last > first && points[last - 1].at > this.range[1]) last--;
    const selected = points.slice(Math.max(0, first - 1), last + 1);
    const step = Math.ceil(selected.length / MOST_POINTS);
    return { points: step < 2 ? selected : thin(selected, step), step };
  }

  // Add `y`, `yLow` and `yHigh`: the values, or their change in % from the median of what is shown.
  scalePoints(points) {
    if (!this.percent) return points.map((point) => ({ ...point, y: point.value, yLow: point.low, yHigh: point.high }));
    const shown = points.filter((point) => this.isInRange(point.at));
    const base = shown.length ? median(shown.map((point) => point.value)) : 0;
    if (base <= 0) return [];
    const scale = (value) => (value === null ? null : 100 * (value / base - 1));
    return points.map((point) => ({
      ...point,
      y: scale(point.value),
      yLow: scale(point.low),
      yHigh: scale(point.high),
    }));
  }

  makeTraces(series, selected) {
    const points = this.scalePoints(selected);
    const colour = this.seriesColour(series);
    const name = this.seriesVariant(series);
    const line = {
      type: "scatter",
      name: escapeMarkup(name),
      mode: points.length < 150 ? "lines+markers" : "lines",
      x: points.map((point) => point.at),
      y: points.map((point) => point.y),
      customdata: points.map((point) => point.run),
      line: { color: colour, width: 1.6 },
      marker: { size: 5, color: colour },
      hoverinfo: "text",
      hovertext: points.map((point) => this.describePoint(point, name)),
    };
    const bounded = points.filter((point) => point.low !== null && point.high !== null);
    return bounded.length > 1 ? [makeBand(bounded, colour), line] : [line];
  }

  // The strip below the chart: which kind of runner measured.
  makeRunnerTrace() {
    const { points: runs } = this.selectPoints(this.runs.map((run, index) => ({ ...run, run: index })));
    return {
      type: "scatter",
      mode: "markers",
      yaxis: "y2",
      x: runs.map((run) => run.at),
      y: runs.map(() => 0),
      customdata: runs.map((run) => run.run),
      hoverinfo: "text",
      hovertext: runs.map((run) => `${formatTime(run.at)} · runner ${escapeMarkup(run.machine)}`),
      marker: {
        symbol: "square",
        size: 9,
        color: runs.map((run) => machineColour(this.machines.indexOf(run.machine))),
      },
    };
  }

  describePoint(point, name) {
    const run = this.runs[point.run];
    const value = `${formatNumber(point.value)} ${escapeMarkup(this.about.unit)}`;
    const lines = [
      `<b>${escapeMarkup(name)}: ${value}</b>${formatInterval(point)}`,
      `${formatTime(point.at)} · ${escapeMarkup(run.sha.slice(0, 10))}`,
      `runner ${escapeMarkup(run.machine)}`,
    ];
    if (point.of) lines.push(`median of ${point.of} runs`);
    return lines.join("<br>");
  }

  makeLayout() {
    const narrow = this.place.clientWidth < 560;
    const changes = this.changes.filter(
      (change) => !this.isHidden(change.series) && this.isInRange(Date.parse(change.at)),
    );
    const shapes = [...this.makeLevels(), ...changes.map(makeChangeLine)];
    if (this.pinned !== null)
      shapes.push(makeVertical(this.times[this.pinned], 0, { color: readColour("--dim"), width: 1 }));
    const title = this.percent ? "change from the median of what is shown, %" : this.about.axis;
    return applyTheme({
      shapes,
      annotations: this.makeChangeLabels(changes, narrow),
      showlegend: false,
      hovermode: "closest",
      dragmode: narrow ? false : "zoom",
      font: { size: narrow ? 11 : 12 },
      margin: { l: narrow ? 46 : 66, r: 14, t: 14, b: 34 },
      xaxis: { type: "date", range: this.range, anchor: "y2" },
      yaxis: {
        domain: [0.12, 1],
        zeroline: false,
        title: narrow ? undefined : { text: escapeMarkup(title), standoff: 8 },
        fixedrange: true,
        exponentformat: "SI",
      },
      yaxis2: {
        domain: [0, 0.06],
        range: [-1, 1],
        showticklabels: false,
        showgrid: false,
        zeroline: false,
        fixedrange: true,
      },
    });
  }

  // Labels of change points; those that are close to each other go below one another.
  makeChangeLabels(changes, narrow) {
    let lastX = -Infinity;
    let row = 0;
    return changes.map((change) => {
      const at = Date.parse(change.at);
      const x = (at - this.range[0]) / (this.range[1] - this.range[0]);
      row = x - lastX < (narrow ? 0.45 : 0.2) ? (row + 1) % 4 : 0;
      lastX = x;
      const arrow = change.direction === "worse" ? "▼" : "▲";
      return {
        x: at,
        y: 1,
        yref: "paper",
        yanchor: "top",
        yshift: -16 * row,
        showarrow: false,
        xanchor: x > (narrow ? 0.6 : 0.85) ? "right" : "left",
        text: `${arrow} ${escapeMarkup(this.seriesVariant(change.series))} ${escapeMarkup(change.size)}`,
        hovertext: escapeMarkup(change.text),
        font: { color: changeColour(change), size: 12 },
        bgcolor: fade(readColour("--paper"), 0.8),
      };
    });
  }

  // The level of each series between its change points; in % there is no common scale, so no levels are drawn.
  makeLevels() {
    if (this.percent) return [];
    return this.about.series.flatMap((_, series) => {
      const changes = this.changes.filter((change) => change.series === series);
      if (this.isHidden(series) || !changes.length) return [];
      const edges = [this.whole[0], ...changes.map((change) => Date.parse(change.at)), this.whole[1]];
      const heights = [changes[0].before, ...changes.map((change) => change.level)];
      const line = { color: this.seriesColour(series), width: 3 };
      return heights
        .map((y, i) => [y, Math.max(edges[i], this.range[0]), Math.min(edges[i + 1], this.range[1])])
        .filter(([y, from, to]) => y !== null && from < to)
        .map(([y, x0, x1]) => ({
          type: "line",
          name: "level",
          x0,
          x1,
          y0: y,
          y1: y,
          layer: "below",
          line,
          opacity: 0.55,
        }));
    });
  }

  listen() {
    this.place.on("plotly_relayout", (event) => {
      const from = event["xaxis.range[0]"] ?? event["xaxis.range"]?.[0];
      const to = event["xaxis.range[1]"] ?? event["xaxis.range"]?.[1];
      if (event["xaxis.autorange"]) this.show(this.whole);
      else if (from !== undefined) this.show([parseTime(from), parseTime(to)]);
    });
    this.place.on("plotly_click", (event) => this.pin(event.points[0].customdata));
  }

  // Pin the next or previous run; at first, the last run in the range.
  stepRun(by) {
    if (this.pinned !== null) return this.pin(Math.min(Math.max(this.pinned + by, 0), this.runs.length - 1));
    let last = this.runs.length - 1;
    while (last > 0 && this.times[last] > this.range[1]) last--;
    return this.pin(last);
  }

  // Show one run in words, with a link to its commit.
  pin(index) {
    if (index === undefined) return undefined;
    this.pinned = index;
    const section = document.getElementById("run");
    section.lastElementChild.replaceChildren(this.makeRunHeading(this.runs[index]), ...this.makeRunValues(index));
    section.hidden = false;
    const at = this.times[index];
    if (this.isInRange(at)) return this.draw();
    const half = (this.range[1] - this.range[0]) / 2;
    return this.show([at - half, at + half]);
  }

  makeRunHeading(run) {
    const isLinked = this.about.commits && COMMIT.test(run.sha);
    const commit = makeElement(isLinked ? "a" : "code", run.sha.slice(0, 10));
    if (isLinked) {
      commit.href = this.about.commits + run.sha;
      commit.rel = "noreferrer";
    }
    const heading = makeElement("p", `${formatTime(run.at)} UTC · `);
    const again = run.again ? " · an old commit that was measured again: shown, but not analysed" : "";
    heading.append(commit, ` · run ${run.id} · runner ${run.machine}${again}`);
    return heading;
  }

  makeRunValues(index) {
    return this.points.flatMap((points, series) => {
      const point = points.find((candidate) => candidate.run === index);
      if (!point || this.isHidden(series)) return [];
      const row = makeElement("p", "");
      const key = makeElement("span", "");
      key.className = `key k${this.about.series[series] % 6}`;
      const value = `${formatNumber(point.value)} ${this.about.unit}${formatInterval(point)}`;
      row.append(key, `${this.seriesVariant(series)}: ${value}`);
      return [row];
    });
  }
}

function makeBand(points, colour) {
  const back = points.slice().reverse();
  return {
    type: "scatter",
    mode: "lines",
    x: [...points, ...back].map((point) => point.at),
    y: [...points.map((point) => point.yHigh), ...back.map((point) => point.yLow)],
    fill: "toself",
    fillcolor: fade(colour, 0.16),
    line: { width: 0 },
    hoverinfo: "skip",
  };
}

function makeVertical(at, bottom, line) {
  return { type: "line", x0: at, x1: at, yref: "paper", y0: bottom, y1: 1, line };
}

function makeChangeLine(change) {
  return makeVertical(Date.parse(change.at), 0.12, { color: changeColour(change), dash: "dash", width: 1.5 });
}

function changeColour(change) {
  return readColour(change.direction === "worse" ? "--bad" : "--good");
}

function machineColour(index) {
  return `hsl(${(index * 137) % 360} 45% ${isDark() ? 62 : 48}%)`;
}

function loadScript(file) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = file;
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });
}
