// One call in each iteration; each user keeps its connection.
import grpc from "k6/net/grpc";
import { check } from "k6";

const client = new grpc.Client();
client.load(["../app"], "greet.proto");
let connected = false;

export default function () {
  if (!connected) {
    client.connect(__ENV.BASE_URL.replace("http://", ""), { plaintext: true });
    connected = true;
  }
  const reply = client.invoke("greet.Greeter/Greet", { name: "Ann" });
  check(reply, { "is greeted": (one) => one.status === grpc.StatusOK && one.message.text === "Hello, Ann!" });
}
