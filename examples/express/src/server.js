import express from "express";
import { addComment, findComments, findPosts, findPost } from "./posts.js";

const app = express();
app.disable("x-powered-by");
app.use(express.json());

app.get("/health", (request, response) => {
  response.json({ status: "ok" });
});

app.get("/posts", async (request, response) => {
  const posts = await findPosts(20);
  const comments = await findComments(posts.map((post) => post.id));
  response.json(posts.map((post) => ({ ...post, comments: comments.get(post.id) ?? [] })));
});

app.get("/posts/:id", async (request, response) => {
  const post = await findPost(Number(request.params.id));
  if (!post) return response.status(404).json({ error: "no such post" });
  response.json(post);
});

app.post("/posts/:id/comments", async (request, response) => {
  const comment = await addComment(Number(request.params.id), String(request.body.text));
  response.status(201).json(comment);
});

const server = app.listen(process.env.PORT ?? 3000);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
