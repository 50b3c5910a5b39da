// One conversation: five messages, each sent when the last one has been answered.
import ws from "k6/ws";
import { check } from "k6";

export default function () {
  const url = `${__ENV.BASE_URL.replace("http", "ws")}/chat`;
  let answers = 0;
  const reply = ws.connect(url, null, (socket) => {
    socket.on("open", () => socket.send("hello"));
    socket.on("message", () => {
      answers += 1;
      if (answers < 5) {
        socket.send(`message ${answers}`);
      } else {
        socket.close();
      }
    });
    socket.setTimeout(() => socket.close(), 2000);
  });
  check(reply, { "was opened": (opened) => opened && opened.status === 101 });
  check(answers, { "has five answers": (count) => count === 5 });
}
