// Sends the requests of a tape, one in each iteration, in their order. The agent writes the tape next to this file.
import http from "k6/http";
import exec from "k6/execution";
import { SharedArray } from "k6/data";

const tape = new SharedArray("tape", () => JSON.parse(open("./tape.json")));
const settings = JSON.parse(open("./settings.json"));
const unknown = "\0".repeat(9); // stands for a serial number
http.setResponseCallback(http.expectedStatuses(...settings.expected));

export default function () {
  const number = exec.scenario.iterationInTest;
  let { method, path, headers, body, route, serial } = tape[number % tape.length];
  if (serial) {
    const first = settings.serials[exec.scenario.name] || 0;
    const fill = (text) => text.split(unknown).join(String(first + number));
    path = fill(path);
    body = fill(body);
    headers = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, fill(value)]));
  }
  http.request(method, __ENV.BASE_URL + path, body || null, {
    headers,
    redirects: 0,
    timeout: settings.timeout,
    tags: { name: settings.routes[route], route: String(route) },
  });
}
