// Runs a script with the settings of a turn, and prints what was measured as one line.
import exec from "k6/execution";
import { Counter, Trend } from "k6/metrics";
import * as script from "SCRIPT";
export * from "SCRIPT";

const settings = JSON.parse(open("./settings.json"));
const own = script.options || {};
const tag = { turn: "measured" }; // what is measured, without warm-up, `setup` and `teardown`
const scenarios = settings.options.scenarios || own.scenarios;
const measured = settings.iterations || scenarios ? "turn:measured" : "scenario:default";

// Each user draws other numbers, and the same ones in base and in head. (mulberry32; k6's own randomSeed holds for one call
// of a function only)
let state = (Math.imul(settings.seed, 0x9e3779b1) + (typeof __VU === "number" ? __VU : 0)) >>> 0;
Math.random = () => {
  state = (state + 0x6d2b79f5) >>> 0;
  let z = Math.imul(state ^ (state >>> 15), state | 1);
  z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
  return ((z ^ (z >>> 14)) >>> 0) / 0x100000000;
};

// Iterations that end within the time of their scenario. Those that are still under way then may end, so that no reply is
// cut off, but a server that keeps up with the rate has few of them.
const inTime = new Counter("bench_action_in_time");
const countInTime = () => inTime.add(exec.scenario.progress < 1 ? 1 : 0);

// How long iterations take that begin in the first and in the second half of a turn: a queue that grows makes them longer.
const halves = [new Trend("bench_action_early", true), new Trend("bench_action_late", true)];

function runOnce(data) {
  let waits = false;
  const [half, began] = [halves[exec.scenario.progress < 0.5 ? 0 : 1], Date.now()];
  const note = () => {
    countInTime();
    half.add(Date.now() - began);
  };
  try {
    const result = script.default(data);
    waits = result instanceof Promise;
    return waits ? result.finally(note) : result;
  } finally {
    if (!waits) {
      note();
    }
  }
}
export default typeof script.default === "function" ? runOnce : undefined;

if (settings.needs_default && typeof script.default !== "function") {
  throw new Error("the script has no default function, which a `rate` would run");
}

function tagAll(all) {
  const tagged = ([name, one]) => [name, Object.assign({}, one, { tags: Object.assign({}, one.tags, tag) })];
  return Object.fromEntries(Object.entries(all).map(tagged));
}

// One user runs each scenario of the script a few times, or its default function.
function countAll(all) {
  const count = {
    executor: "shared-iterations",
    vus: settings.together,
    iterations: settings.iterations,
    maxDuration: settings.longest,
  };
  const kept = (one) => Object.fromEntries(["exec", "env"].filter((key) => one[key]).map((key) => [key, one[key]]));
  return Object.fromEntries(
    Object.entries(all).map(([name, one]) => [name, Object.assign({ gracefulStop: "0s" }, count, kept(one))]),
  );
}

function chooseScenarios() {
  if (settings.iterations) {
    return tagAll(countAll(own.scenarios || { measured: {} }));
  }
  return settings.options.scenarios || (own.scenarios ? tagAll(own.scenarios) : undefined);
}

const trends = settings.trends;
const inTimeName = `bench_action_in_time{${measured}}`;
const halfNames = ["early", "late"].map((half) => `bench_action_${half}{${measured}}`);
const kept = [...trends, "http_reqs", "http_req_failed", "iterations", "iteration_duration", "checks"];
const http2 = `http_reqs{${measured},proto:HTTP/2.0}`;
const dropped = settings.options.scenarios ? "dropped_iterations{scenario:measured}" : "dropped_iterations";
const thresholds = Object.assign({}, own.thresholds);
const nameRoute = (metric, route) => `${metric}{${measured},route:${route}}`;
const routes = settings.routes.flatMap((_, route) => [
  nameRoute("http_req_duration", route),
  nameRoute("http_req_failed", route),
]);
for (const name of [
  ...kept.map((metric) => `${metric}{${measured}}`),
  dropped,
  inTimeName,
  http2,
  ...halfNames,
  ...routes,
]) {
  thresholds[name] = thresholds[name] || [];
}

export const options = Object.assign({}, own, settings.options, {
  scenarios: chooseScenarios(),
  thresholds,
  blacklistIPs: [...(own.blacklistIPs || []), ...JSON.parse(__ENV.BENCH_ACTION_OTHERS || "[]")],
  hosts:
    settings.host === __ENV.BENCH_ACTION_ADDRESS
      ? own.hosts
      : Object.assign({}, own.hosts, { [settings.host]: __ENV.BENCH_ACTION_ADDRESS }),
  systemTags: own.systemTags ? [...own.systemTags, "scenario", "proto"] : undefined,
  insecureSkipTLSVerify: settings.tls || own.insecureSkipTLSVerify, // the certificate is made for the run
  summaryTrendStats: ["count", "avg", "min", "max", ...settings.quantiles.map((percent) => `p(${percent})`)],
});
for (const name of ["scenarios", "hosts", "systemTags", "insecureSkipTLSVerify"]) {
  if (options[name] === undefined) {
    delete options[name];
  }
}
if (settings.iterations) {
  for (const name of ["vus", "duration", "iterations", "stages"]) {
    delete options[name];
  }
}

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
  const list = (values) => [
    values.avg,
    values.min,
    values.max,
    ...settings.quantiles.map((percent) => values[`p(${percent})`]),
  ];
  const trend = trends.find((name) => find(`${name}{${measured}}`).count > 0) || trends[0];
  const chosen = find(`${trend}{${measured}}`);
  const iteration = find(`iteration_duration{${measured}}`);
  const report = {
    trend,
    requests: chosen.count || 0,
    all_requests: find(trend).count || 0,
    over_http2: find(http2).count || 0,
    failed: find(`http_req_failed{${measured}}`).passes || 0,
    iterations: find(settings.needs_default ? inTimeName : `iterations{${measured}}`).count || 0,
    iteration_ms: iteration.avg || 0,
    early_ms: find(halfNames[0]).avg || 0,
    late_ms: find(halfNames[1]).avg || 0,
    dropped: find(dropped).count || 0,
    bytes: find("data_received").count || 0,
    duration_ms: data.state.testRunDurationMs,
    times_ms: chosen.count ? list(chosen) : [],
    routes_ms: settings.routes.map((_, route) => {
      const values = find(nameRoute("http_req_duration", route));
      const failed = find(nameRoute("http_req_failed", route)).passes || 0;
      return values.count
        ? [values.count, values["p(50)"], values["p(90)"], values["p(99)"], failed]
        : [0, 0, 0, 0, failed];
    }),
    checks: find(`checks{${measured}}`).passes || 0,
    checks_failed: find(`checks{${measured}}`).fails || 0,
    failed_names: listFailedChecks(data.root_group).slice(0, 5),
    thresholds: listBrokenThresholds(data.metrics).slice(0, 5),
  };
  return { stdout: `${settings.sentinel}${JSON.stringify(report)}\n` };
}
