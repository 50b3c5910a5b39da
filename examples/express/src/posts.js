import pg from "pg";

const pool = new pg.Pool({ max: 4 }); // PGHOST, PGUSER, PGPASSWORD and PGDATABASE say where

export async function findPosts(limit) {
  const { rows } = await pool.query("SELECT id, title FROM post ORDER BY id DESC LIMIT $1", [limit]);
  return rows;
}

export async function findPost(id) {
  const { rows } = await pool.query("SELECT id, title, body FROM post WHERE id = $1", [id]);
  return rows[0];
}

export async function findComments(posts) {
  const { rows } = await pool.query(
    "SELECT id, post_id, text FROM comment WHERE post_id = ANY ($1) ORDER BY id",
    [posts],
  );
  return Map.groupBy(rows, (comment) => comment.post_id);
}

export async function addComment(post, text) {
  const { rows } = await pool.query(
    "INSERT INTO comment (post_id, text) VALUES ($1, $2) RETURNING id, post_id, text",
    [post, text],
  );
  return rows[0];
}
