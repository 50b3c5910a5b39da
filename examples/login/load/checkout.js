// One customer of many: logs in, looks for something, reads a page of it and puts it into the cart.
import http from "k6/http";
import { check } from "k6";
import exec from "k6/execution";
import { SharedArray } from "k6/data";

const names = new SharedArray("customers", () => open("../customers.csv").trim().split("\n").slice(1));
const base = __ENV.BASE_URL;

export default function () {
  const number = exec.scenario.iterationInTest;
  const form = http.get(`${base}/login`, { tags: { name: "form" } });
  const csrf = form.html().find("input[name=csrf]").attr("value");
  const user = names[number % names.length];
  const welcome = http.post(`${base}/login`, { user, csrf }, { redirects: 0, tags: { name: "log in" } });
  check(welcome, { "is logged in": (reply) => reply.status === 303 });
  const product = 1 + (number % 500);
  check(http.get(`${base}/products/${product}`, { tags: { name: "product" } }), {
    "has the product": (reply) => reply.status === 200,
  });
  const cart = http.post(`${base}/cart`, JSON.stringify({ product }), {
    headers: { "Content-Type": "application/json" },
    tags: { name: "cart" },
  });
  check(cart, { "is in the cart": (reply) => reply.status === 201 });
}
