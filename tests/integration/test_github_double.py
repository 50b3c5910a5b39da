"""The double of GitHub's API behaves as the tests of the action assume."""

import base64
import contextlib
import http.client
import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from tests.github.double import ENDPOINTS, GitHubDouble
from tests.github.exchange import Answer, Fault, Token
from tests.github.extract import OPERATIONS

pytestmark = pytest.mark.integration

REPO = "/repos/org/shop"


class Client:
    """Sends requests, and follows no redirect."""

    def __init__(self, github: GitHubDouble, name: str = "token") -> None:
        self._github = github
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy, no netrc
        self.session.headers["authorization"] = f"Bearer {name}"

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """Send a request to a path of the API, or to a full address."""
        url = path if path.startswith("http") else self._github.url + path
        return self.session.request(method, url, json=body, timeout=10, allow_redirects=False, **more)

    def get(self, path: str, **more: Any) -> Any:
        answer = self.send("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, status: int = 201) -> Any:
        answer = self.send("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with GitHubDouble() as double:
        double.state.pull(number=7)
        yield double


@pytest.fixture
def client(github: GitHubDouble) -> Iterator[Client]:
    client = Client(github)
    with client.session:
        yield client


def test_double__carries_out_every_operation_of_the_list() -> None:
    listed = {" ".join(line.split()) for line in OPERATIONS.strip().splitlines()}
    assert ENDPOINTS.keys() == listed


# comments


def test_comments__are_created_listed_edited_and_deleted(github: GitHubDouble, client: Client) -> None:
    made = client.post(f"{REPO}/issues/7/comments", {"body": "one"})
    assert (made["body"], made["user"]["login"], made["user"]["type"]) == ("one", "github-actions[bot]", "Bot")
    edited = client.send("PATCH", f"{REPO}/issues/comments/{made['id']}", {"body": "two"}).json()
    assert client.get(f"{REPO}/issues/7/comments") == [edited]
    assert [one.body for one in github.state.comments[7]] == ["two"]
    deleted = client.send("DELETE", f"{REPO}/issues/comments/{made['id']}")
    assert (deleted.status_code, deleted.content, github.state.comments[7]) == (204, b"", [])
    assert client.send("PATCH", f"{REPO}/issues/comments/{made['id']}", {"body": "x"}).status_code == 404
    assert client.send("GET", f"{REPO}/issues/8/comments").status_code == 404
    assert github.violations == []


def test_comments__are_paged_by_following_links(github: GitHubDouble, client: Client) -> None:
    for number in range(101):
        github.state.comment(7, f"comment {number}", "somebody")
    found, wanted = [], f"{github.url}{REPO}/issues/7/comments?per_page=50"
    while wanted:
        answer = client.send("GET", wanted)
        found += [one["body"] for one in answer.json()]
        wanted = answer.links.get("next", {}).get("url", "")
        assert "/repositories/" in wanted or not wanted
    assert found == [f"comment {number}" for number in range(101)]
    assert len(github.requests) == 3
    assert github.violations == []


def test_comments__are_not_paged_by_counting(github: GitHubDouble, client: Client) -> None:
    assert client.send("GET", f"{REPO}/issues/7/comments?page=2").status_code == 422
    (violation,) = github.violations
    assert "page 2 was requested without the cursor that Link contains" in violation


@pytest.mark.parametrize(("length", "status"), [(65_536, 201), (65_537, 422)])
def test_comments__have_a_longest_body(github: GitHubDouble, client: Client, length: int, status: int) -> None:
    answer = client.post(f"{REPO}/issues/7/comments", {"body": "é" * length}, status)
    assert ("errors" in answer) == (status == 422)
    assert len(github.state.comments.get(7, [])) == (status == 201)
    assert github.violations == []


# rights


@pytest.mark.parametrize(
    ("rights", "number", "status"),
    [
        ({"pull-requests": "write"}, 7, 201),
        ({"issues": "write"}, 7, 201),
        ({"pull-requests": "write"}, 8, 403),
        ({"pull-requests": "read", "issues": "read"}, 7, 403),
        ({}, 7, 403),
    ],
)
def test_rights__decide_who_comments(github: GitHubDouble, rights: dict[str, str], number: int, status: int) -> None:
    github.state.issue()
    github.tokens["other"] = Token("other[bot]", "Bot", rights)
    with (client := Client(github, "other")).session:
        answer = client.post(f"{REPO}/issues/{number}/comments", {"body": "hello"}, status)
    assert answer.get("message", "Resource not accessible by integration") == "Resource not accessible by integration"
    assert github.violations == []


def test_rights__need_a_valid_token(github: GitHubDouble) -> None:
    with (client := Client(github, "unknown")).session:
        answer = client.send("GET", REPO)
    assert (answer.status_code, answer.json()["message"]) == (401, "Bad credentials")
    assert github.violations == []


def test_rights__of_a_fork_are_read_only(github: GitHubDouble) -> None:
    with (client := Client(github, "fork-token")).session:
        assert client.get(f"{REPO}/issues/7/comments") == []
        client.post(f"{REPO}/issues/7/comments", {"body": "hello"}, 403)
        client.post(f"{REPO}/git/blobs", {"content": "hello"}, 403)


def test_user__is_nobody_for_a_workflows_token(github: GitHubDouble, client: Client) -> None:
    assert client.send("GET", "/user").status_code == 403
    github.tokens["own"] = Token("octocat", "User")
    with (own := Client(github, "own")).session:
        assert own.get("/user")["login"] == "octocat"
    assert github.violations == []


# what GitHub does not describe


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"body": 1}, "$.body: 1 is not of type 'string'"),
        ({}, "'body' is a required property"),
        ({"body": "x", "content": "x"}, "unknown property content"),
        (None, "body: $: None for not nullable"),
    ],
)
def test_violation__is_a_body_that_is_not_described(
    github: GitHubDouble, client: Client, body: Any, complaint: str
) -> None:
    refused = client.post(f"{REPO}/issues/7/comments", body, 422)
    (violation,) = github.violations
    assert violation.startswith(f"POST {REPO}/issues/7/comments: ")
    assert complaint in violation
    assert violation in refused["message"]
    assert github.state.comments == {}


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/issues/seven/comments", "issue_number: $: 'seven' is not of type 'integer'"),
        ("/issues/7/comments?per_page=many", "per_page: $: 'many' is not of type 'integer'"),
        ("/issues/7/comments?since=today", "'today' is not a 'date-time'"),
        ("/pulls?state=merged", "'merged' is not one of ['open', 'closed', 'all']"),
        ("/pulls?author=me", "query: unknown parameter author"),
    ],
)
def test_violation__is_a_parameter_that_is_not_described(
    github: GitHubDouble, client: Client, path: str, complaint: str
) -> None:
    assert client.send("GET", REPO + path).status_code == 422
    (violation,) = github.violations
    assert complaint in violation


def test_violation__is_a_body_that_is_not_json(github: GitHubDouble, client: Client) -> None:
    assert client.send("POST", f"{REPO}/issues/7/comments", data=b"body=x").status_code == 422
    assert github.violations == [f"POST {REPO}/issues/7/comments: body: it is not JSON"]


def test_violation__is_an_operation_that_is_not_served(github: GitHubDouble, client: Client) -> None:
    assert client.send("DELETE", REPO).status_code == 404
    assert github.violations == [f"DELETE {REPO}: the double serves no such operation"]


def test_violation__is_a_client_without_a_user_agent(github: GitHubDouble) -> None:
    with contextlib.closing(http.client.HTTPConnection(github.url.removeprefix("http://"), timeout=10)) as connection:
        connection.request("GET", REPO, headers={"authorization": "Bearer token"})
        assert connection.getresponse().status == 403
    assert github.violations == [f"GET {REPO}: there is no User-Agent"]


def test_violation__is_an_answer_of_the_double(github: GitHubDouble, client: Client) -> None:
    github.state.comment(7, "hello").created_at = "yesterday"
    client.get(f"{REPO}/issues/7/comments")
    (violation,) = github.violations
    assert violation.startswith("answer to GET /repos/{owner}/{repo}/issues/{issue_number}/comments: $[0].created_at: ")


def test_answers__match_github_s_description(github: GitHubDouble, client: Client) -> None:
    github.state.comment(7, "hello")
    run = github.state.run(github.state.pulls[7])
    github.state.artifact(run, "result", {"result.json": "{}"})
    issue = github.state.issue("Slower", ("performance",))
    for path in (
        "",
        "/issues?state=all",
        f"/issues/{issue.number}",
        "/issues/7/comments",
        "/issues/comments/1001",
        "/pulls",
        "/pulls/7",
        "/compare/main...feature",
        f"/actions/runs/{run.id}",
        f"/actions/runs/{run.id}/artifacts",
        "/contents/README.md",
        "/contents/",
        "/git/ref/heads/feature",
        f"/git/commits/{github.state.pulls[7].head.sha}",
        "/git/trees/main?recursive=1",
    ):
        client.get(REPO + path)
    assert github.violations == []


# faults


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (500, {}),
        (502, {}),
        (401, {}),
        (404, {}),
        (409, {}),
        (403, {"retry-after": "1"}),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}),
    ],
)
def test_fault__replaces_the_answer_once(
    github: GitHubDouble, client: Client, status: int, headers: dict[str, str]
) -> None:
    github.faults.append(Fault("POST", r"/issues/\d+/comments$", Answer(status, headers, {"message": "fault"})))
    answer = client.send("POST", f"{REPO}/issues/7/comments", {"body": "x"})
    assert (answer.status_code, answer.json()) == (status, {"message": "fault"})
    assert {name: answer.headers[name] for name in headers} == headers
    assert github.state.comments == {}
    client.post(f"{REPO}/issues/7/comments", {"body": "x"})
    assert [one.method for one in github.requests] == ["POST", "POST"]
    assert github.violations == []


def test_fault__applies_to_matching_requests_as_often_as_set(github: GitHubDouble, client: Client) -> None:
    github.faults += [Fault("GET", "/pulls", Answer(502, body=b"<html>"), times=2), Fault("GET", "/pulls", Answer(500))]
    found = [client.send("GET", f"{REPO}{path}").status_code for path in ("/pulls", "/issues", "/pulls/7")]
    found += [client.send("GET", f"{REPO}/pulls").status_code for _ in range(2)]
    assert found == [502, 200, 502, 500, 200]


@pytest.mark.parametrize("after_write", [True, False])
def test_fault__drops_the_connection(github: GitHubDouble, client: Client, after_write: bool) -> None:
    github.faults.append(Fault("POST", "/comments", drop=True, after_write=after_write))
    with pytest.raises(requests.ConnectionError):
        client.send("POST", f"{REPO}/issues/7/comments", {"body": "x"})
    assert [one.body for one in github.state.comments.get(7, [])] == (["x"] if after_write else [])


def test_fault__loses_the_answer_after_the_write(github: GitHubDouble, client: Client) -> None:
    github.faults.append(Fault("POST", "/comments", Answer(502), after_write=True))
    assert client.send("POST", f"{REPO}/issues/7/comments", {"body": "x"}).status_code == 502
    assert [one.body for one in github.state.comments[7]] == ["x"]


def test_fault__delays_the_answer(github: GitHubDouble, client: Client) -> None:
    github.faults.append(Fault("GET", "/pulls/7", delay_s=30))
    with pytest.raises(requests.ReadTimeout):
        client.session.get(f"{github.url}{REPO}/pulls/7", timeout=0.2)
    assert client.get(f"{REPO}/pulls/7")["number"] == 7


@pytest.mark.parametrize("enterprise", [True, False])
def test_rate_headers__are_sent_by_github_only(enterprise: bool) -> None:
    prefix = "/api/v3" if enterprise else ""
    with GitHubDouble(prefix=prefix, enterprise=enterprise) as github, (client := Client(github)).session:
        answer = client.send("GET", REPO)
        assert answer.status_code == 200
        assert ("x-ratelimit-remaining" in answer.headers) != enterprise
        assert github.url.endswith(prefix)
        root = github.url.removesuffix(prefix)
        assert client.send("GET", f"{root}{REPO}").status_code == (404 if enterprise else 200)
        assert len(github.violations) == enterprise


# git


def commit(client: Client, parent: str, path: str, content: str) -> str:
    tree = client.get(f"{REPO}/git/commits/{parent}")["tree"]["sha"]
    blob = client.post(
        f"{REPO}/git/blobs", {"content": base64.b64encode(content.encode()).decode(), "encoding": "base64"}
    )
    entry = {"path": path, "mode": "100644", "type": "blob", "sha": blob["sha"]}
    made = client.post(f"{REPO}/git/trees", {"base_tree": tree, "tree": [entry]})
    body = {"message": f"Add {path}", "tree": made["sha"], "parents": [parent]}
    return str(client.post(f"{REPO}/git/commits", body)["sha"])


def test_refs__move_forward_only(github: GitHubDouble, client: Client) -> None:
    start = client.get(f"{REPO}/git/ref/heads/main")["object"]["sha"]
    one, other = (commit(client, start, f"data/{name}.json", "{}") for name in ("one", "other"))
    client.post(f"{REPO}/git/refs", {"ref": "refs/heads/data", "sha": start})
    assert client.send("PATCH", f"{REPO}/git/refs/heads/data", {"sha": one, "force": False}).status_code == 200
    refused = client.send("PATCH", f"{REPO}/git/refs/heads/data", {"sha": other, "force": False})
    assert (refused.status_code, refused.json()["message"]) == (422, "Update is not a fast forward")
    again = commit(client, one, "data/other.json", "{}")
    assert client.send("PATCH", f"{REPO}/git/refs/heads/data", {"sha": again}).status_code == 200
    assert github.state.git.files("data") == {
        "README.md": b"# Shop\n",
        "data/one.json": b"{}",
        "data/other.json": b"{}",
    }
    assert github.state.git.history("data") == [again, one, start]
    assert client.send("PATCH", f"{REPO}/git/refs/heads/data", {"sha": other, "force": True}).status_code == 200
    assert github.violations == []


def test_refs__may_begin_with_a_commit_without_parents(github: GitHubDouble, client: Client) -> None:
    assert client.send("GET", f"{REPO}/git/ref/heads/data").status_code == 404
    entries = [{"path": "a.txt", "mode": "100644", "type": "blob", "content": "a"}]
    tree = client.post(f"{REPO}/git/trees", {"tree": entries})
    made = client.post(f"{REPO}/git/commits", {"message": "Begin", "tree": tree["sha"], "parents": []})
    client.post(f"{REPO}/git/refs", {"ref": "refs/heads/data", "sha": made["sha"]})
    client.post(f"{REPO}/git/refs", {"ref": "refs/heads/data", "sha": made["sha"]}, 422)
    assert github.state.git.files("data") == {"a.txt": b"a"}
    assert github.violations == []


def test_objects__have_git_s_hashes(github: GitHubDouble, client: Client) -> None:
    made = client.post(f"{REPO}/git/blobs", {"content": "hello\n"})
    assert made["sha"] == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert client.get(f"{REPO}/git/blobs/{made['sha']}")["content"] == "aGVsbG8K\n"
    assert github.state.git.write_tree({}) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_trees__lose_entries_that_are_set_to_null(github: GitHubDouble, client: Client) -> None:
    github.state.git.commit({"a/one": "1", "a/two": "2", "b": "3"}, "data")
    base = client.get(f"{REPO}/git/trees/data?recursive=1")
    assert [one["path"] for one in base["tree"]] == ["a", "a/one", "a/two", "b"]
    gone = {"path": "a/one", "mode": "100644", "type": "blob", "sha": None}
    made = client.post(f"{REPO}/git/trees", {"base_tree": base["sha"], "tree": [gone]})
    found = client.get(f"{REPO}/git/trees/{made['sha']}?recursive=true")
    assert [one["path"] for one in found["tree"]] == ["a", "a/two", "b"]


def test_contents__of_a_large_file_are_raw_only(github: GitHubDouble, client: Client) -> None:
    github.state.git.commit({"large": b"x" * 1_000_001, "small": "y"}, "data")
    found = client.get(f"{REPO}/contents/large?ref=data")
    assert (found["content"], found["encoding"], found["size"]) == ("", "none", 1_000_001)
    raw = client.send("GET", f"{REPO}/contents/large?ref=data", headers={"accept": "application/vnd.github.raw+json"})
    assert len(raw.content) == 1_000_001
    assert base64.b64decode(client.get(f"{REPO}/contents/small?ref=data")["content"]) == b"y"
    assert client.send("GET", f"{REPO}/contents/small").status_code == 404
    assert github.violations == []


def test_compare__finds_where_a_pull_request_left_the_base(github: GitHubDouble, client: Client) -> None:
    left = github.state.git.require("main")
    fork = github.state.pull("feature/x", repo="somebody/shop")
    github.state.git.commit({"README.md": "# Shop 2\n"})
    for head in ("feature", "somebody:feature/x", fork.head.sha):
        found = client.get(f"{REPO}/compare/main...{head}")
        assert (found["merge_base_commit"]["sha"], found["status"]) == (left, "diverged")
    assert (found["ahead_by"], found["behind_by"]) == (1, 1)
    assert client.send("GET", f"{REPO}/compare/main...nowhere").status_code == 404


# pull requests, issues, runs


def test_pulls__are_found_by_owner_and_branch(github: GitHubDouble, client: Client) -> None:
    fork = github.state.pull("feature", repo="somebody/shop")
    closed = github.state.pull("feature", repo="somebody/shop")
    closed.state = "closed"
    (found,) = client.get(f"{REPO}/pulls", params={"head": "somebody:feature", "state": "open"})
    assert (found["number"], found["head"]["sha"], found["head"]["repo"]["full_name"]) == (
        fork.number,
        fork.head.sha,
        "somebody/shop",
    )
    assert [one["number"] for one in client.get(f"{REPO}/pulls?head=org:feature")] == [7]
    assert len(client.get(f"{REPO}/pulls?head=somebody:feature&state=all")) == 2
    assert len(client.get(f"{REPO}/pulls?head=feature")) == 2, "GitHub ignores a head without an owner"
    assert client.send("GET", f"{REPO}/pulls/99").status_code == 404
    assert github.violations == []


def test_issues__are_opened_found_by_label_and_closed(github: GitHubDouble, client: Client) -> None:
    made = client.post(f"{REPO}/issues", {"title": "Slower", "body": "by 9 %", "labels": ["performance", "bot"]})
    assert [one["number"] for one in client.get(f"{REPO}/issues?labels=performance,bot")] == [made["number"]]
    assert [one["number"] for one in client.get(f"{REPO}/issues") if "pull_request" in one] == [7]
    closed = client.send("PATCH", f"{REPO}/issues/{made['number']}", {"state": "closed"}).json()
    assert (closed["state"], closed["state_reason"]) == ("closed", "completed")
    assert client.get(f"{REPO}/issues?labels=performance&state=open") == []
    assert github.state.issues[made["number"]].login == "github-actions[bot]"
    assert github.violations == []


def test_artifact__is_downloaded_from_the_blob_store_without_the_token(github: GitHubDouble, client: Client) -> None:
    fork = github.state.pull("feature", repo="somebody/shop")
    run = github.state.run(fork)
    github.state.artifact(run, "result", {"result.json": "{}"})
    assert client.get(f"{REPO}/actions/runs/{run.id}")["pull_requests"] == []
    found = client.get(f"{REPO}/actions/runs/{run.id}/artifacts?name=result")
    (artifact,) = found["artifacts"]
    assert client.get(f"{REPO}/actions/runs/{run.id}/artifacts?name=other")["total_count"] == 0
    answer = client.send("GET", artifact["archive_download_url"])
    assert (answer.status_code, answer.content) == (302, b"")
    content = requests.get(answer.headers["location"], timeout=10).content
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == ["result.json"]
    assert [(one.authorized, one.status) for one in github.downloads] == [(False, 200)]
    assert github.violations == []


def test_artifacts__are_listed_newest_first(github: GitHubDouble, client: Client) -> None:
    run = github.state.run(github.state.pulls[7])
    made = [github.state.artifact(run, "result", {"result.json": "{}"}).id for _ in range(3)]
    for query, expected in (("", made[::-1]), ("?direction=asc", made)):
        found = client.get(f"{REPO}/actions/runs/{run.id}/artifacts{query}")["artifacts"]
        assert [one["id"] for one in found] == expected


def test_artifact__is_not_downloaded_with_the_token(github: GitHubDouble, client: Client) -> None:
    artifact = github.state.artifact(github.state.run(github.state.pulls[7]), "result", b"not a ZIP file")
    location = client.send("GET", f"{REPO}/actions/artifacts/{artifact.id}/zip").headers["location"]
    assert client.send("GET", location).status_code == 400
    assert [(one.authorized, one.status) for one in github.downloads] == [(True, 400)]
    assert "the token was sent to the blob store" in github.violations[0]


def test_artifact__is_gone_once_it_has_expired(github: GitHubDouble, client: Client) -> None:
    artifact = github.state.artifact(github.state.run(github.state.pulls[7]), "result", {"result.json": "{}"})
    artifact.expired = True
    assert client.send("GET", f"{REPO}/actions/artifacts/{artifact.id}/zip").status_code == 410
    assert github.violations == []
