// Runs a script with the settings of a turn, and prints what was measured as one line.
import * as script from "SCRIPT";
export * from "SCRIPT";
export default script.default;

const settings = JSON.parse(open("./settings.json"));
const own = script.options || {};

function mark(scenarios) {
  const marked = ([name, one]) => [name, Object.assign({}, one, { tags: Object.assign({}, one.tags, { turn: "measured" }) })];
  return Object.fromEntries(Object.entries(scenarios).map(marked));
}

// what is measured, apart from warm-up, `setup` and `teardown`
const measured = settings.options.scenarios || own.scenarios ? "turn:measured" : "scenario:default";
const trends = ["http_req_duration", "grpc_req_duration", "iteration_duration"];
const kept = [...trends, "http_reqs", "http_req_failed", "iterations", "dropped_iterations", "checks"];
const thresholds = Object.fromEntries(kept.map((name) => [`${name}{${measured}}`, []]));
settings.routes.forEach((_, route) => {
  thresholds[`http_req_duration{${measured},route:${route}}`] = [];
});

export const options = Object.assign(
  {},
  own,
  own.scenarios && !settings.options.scenarios ? { scenarios: mark(own.scenarios) } : {},
  settings.options,
  {
    thresholds: Object.assign({}, own.thresholds, thresholds),
    blacklistIPs: [...(own.blacklistIPs || []), ...JSON.parse(__ENV.BENCH_ACTION_OTHERS)],
    hosts:
      settings.host === __ENV.BENCH_ACTION_ADDRESS
        ? own.hosts
        : Object.assign({}, own.hosts, { [settings.host]: __ENV.BENCH_ACTION_ADDRESS }),
    summaryTrendStats: ["count", "avg", "min", "max", ...settings.quantiles.map((percent) => `p(${percent})`)],
  },
);

function listFailedChecks(group) {
  const failed = group.checks.filter((check) => check.fails > 0).map((check) => check.name);
  return [...failed, ...group.groups.flatMap(listFailedChecks)];
}

function listBrokenThresholds(metrics) {
  return Object.entries(metrics).flatMap(([name, metric]) =>
    Object.entries(metric.thresholds || {})
      .filter(([, threshold]) => !threshold.ok)
      .map(([text]) => `${name}: ${text}`),
  );
}

export function handleSummary(data) {
  const find = (name) => (data.metrics[name] || { values: {} }).values;
  const list = (values) => [values.avg, values.min, values.max, ...settings.quantiles.map((percent) => values[`p(${percent})`])];
  const trend = trends.find((name) => find(`${name}{${measured}}`).count > 0) || trends[0];
  const chosen = find(`${trend}{${measured}}`);
  const report = {
    trend,
    requests: chosen.count || 0,
    all_requests: find(trend).count || 0,
    failed: find(`http_req_failed{${measured}}`).passes || 0,
    iterations: find(`iterations{${measured}}`).count || 0,
    iteration_ms: find(`iteration_duration{${measured}}`)["p(50)"] || 0,
    dropped: find(`dropped_iterations{${measured}}`).count || 0,
    bytes: find("data_received").count || 0,
    duration_ms: data.state.testRunDurationMs,
    times_ms: chosen.count ? list(chosen) : [],
    routes_ms: settings.routes.map((_, route) => {
      const values = find(`http_req_duration{${measured},route:${route}}`);
      return values.count ? [values.count, values["p(50)"], values["p(90)"], values["p(99)"]] : [0, 0, 0, 0];
    }),
    checks: find(`checks{${measured}}`).passes || 0,
    checks_failed: find(`checks{${measured}}`).fails || 0,
    failed_names: listFailedChecks(data.root_group).slice(0, 5),
    thresholds: listBrokenThresholds(data.metrics).slice(0, 5),
  };
  return { stdout: `${settings.sentinel}${JSON.stringify(report)}\n` };
}
