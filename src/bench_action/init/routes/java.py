"""Find the routes of Spring (Java and Kotlin): mappings of classes and methods."""

import re
from collections.abc import Iterator, Mapping

from bench_action.init.routes.route import Route, make_path, make_query
from bench_action.init.routes.syntax import drop_comments
from bench_action.init.sources import Sources

_MAPPING = re.compile(
    r"@(GetMapping|RequestMapping|Path|GET)\b(?:\s*\(((?:[^()\"]|\"(?:\\.|[^\"\\])*\"|\([^()]*\))*)\))?|\b(class|interface)\s+\w+"
)
_TEXTS = re.compile(r'"([^"\\]*)"')
_NAMED = re.compile(r'\b(?:value|path)\s*=\s*(\{[^}]*\}|\[[^\]]*\]|"[^"]*")')


_RULE = re.compile(
    r"(?:(?:request|ant|mvc|path)Matchers|pathMatchers|authorize)\s*\(((?:[^()]|\([^()]*\))*)\)\s*\.?(\w*)|"
    r"\banyRequest(?:\(\))?\s*(?:\.|,\s*)(\w+)"
)
_LONGEST_PATTERN, _MOST_STARS = 200, 8
_CONSTANT = re.compile(r'\b(?:String|const val)\s+([A-Z][A-Z0-9_]*)\s*=\s*"([^"\n]*)"')
_NAMED_PATH = re.compile(
    r"(@(?:Get|Request)Mapping\(\s*(?:(?:value|path)\s*=\s*)?)((?:\w+\.)?[A-Z][A-Z0-9_]+)\b(?!\s*[.(])"
)
_SECURED = re.compile(r"SecurityFilterChain|WebSecurityConfigurerAdapter|SecurityWebFilterChain")
_CONTEXT_PATH = re.compile(r"^[ \t]*(?:server\.servlet\.)?context-path\s*[=:]\s*[\"']?(/[\w/.-]+)", re.MULTILINE)
_PARAMETER = re.compile(
    r"@RequestParam(?:\(((?:[^()\"]|\"[^\"]{0,200}\"){0,200})\))?\s+"
    r"(?:final\s+)?(?:@\w+(?:\([^)]*\))?\s+)*([\w<>,.? ]{0,100}?)\s*(\w+)\s*(?=[,):])"
)


def find_spring_routes(sources: Sources) -> Iterator[Route]:
    """Find all GET routes; `@RequestMapping` of a method counts unless it names another method."""
    texts = {file: sources.read(file) for file in sources.find_code(".java", ".kt")}
    context = next(
        (
            match[1]
            for file in sources.find("application.properties", "application.yml", "application.yaml")
            if (match := _CONTEXT_PATH.search(sources.read(file)))
        ),
        "",
    )
    rules = _read_rules(sources, texts)
    constants = {match[1]: match[2] for text in texts.values() for match in _CONSTANT.finditer(text)}
    for file, text in texts.items():
        if "Mapping" in text:
            for route in _read(_fill_constants(drop_comments(text), constants), file):
                path, _, query = route.path.partition("?")
                guarded = next((guards for matcher, guards in rules if matcher.fullmatch(path)), False)
                full = f"{make_path(context, path)}?{query}" if query else make_path(context, path)
                yield Route(full, file, guarded)


def _fill_constants(text: str, constants: Mapping[str, str]) -> str:
    """Write the texts of constants into annotations that name them; `{name}` for one that is not known."""

    def fill(match: re.Match[str]) -> str:
        name = match[2].rpartition(".")[2]
        return f'{match[1]}"{constants.get(name, f"{{{name}}}")}"'

    return _NAMED_PATH.sub(fill, text)


def _read_rules(sources: Sources, texts: Mapping[str, str]) -> list[tuple[re.Pattern[str], bool]]:
    """Read the rules of Spring Security in their order: which paths, and whether they require authentication.

    Without any rules, everything does once Spring Security is a dependency.
    """
    configured = [drop_comments(text) for text in texts.values() if _SECURED.search(text)]
    if not configured:
        manifests = sources.find("pom.xml", "build.gradle", "build.gradle.kts")
        secured = any("starter-security" in sources.read(name) for name in manifests)
        return [(re.compile(".*"), True)] if secured else []
    rules = []
    for text in configured:
        for match in _RULE.finditer(text):
            if match[3] or match[1].startswith("anyRequest"):
                rules.append((re.compile(".*"), "permitAll" not in match[0]))
                continue
            if re.search(r"HttpMethod\.(?!GET)", match[1]):
                continue
            guards = "permitAll" not in (match[2], match[1].rpartition(",")[2].strip())
            rules += [
                (_compile_ant(pattern), guards) for pattern in _TEXTS.findall(match[1]) if pattern.startswith("/")
            ]
    return rules


def _compile_ant(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of Ant: `**` stands for any parts, `*` for one."""
    pattern = re.sub(r"(?:/\*\*)+", "/**", re.sub(r"\{\w+\}", "*", pattern[:_LONGEST_PATTERN]))
    if pattern.count("*") > _MOST_STARS:
        return re.compile("(?!)")
    parts = re.split(r"(/\*\*|\*\*|\*)", pattern)
    forms = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*"}
    return re.compile("".join(forms.get(part) or re.escape(part) for part in parts))


def _read(text: str, file: str) -> Iterator[Route]:
    prefixes, pending, inside = [""], [""], False
    for match in _MAPPING.finditer(text):
        if match[3]:
            prefixes, pending, inside = pending, [""], True
            continue
        kind, arguments = match[1], match[2] or ""
        paths = _list_paths(arguments)
        if kind == "RequestMapping" and _precedes_class(text, match.end(), inside=inside):
            pending = paths
        elif kind == "GetMapping" or (kind == "RequestMapping" and ("method" not in arguments or "GET" in arguments)):
            query = _find_query(text, match.end())
            yield from (Route(make_path(prefix, path) + query, file) for prefix in prefixes for path in paths)


def _find_query(text: str, at: int) -> str:
    """Find the parameters of the query without which a method answers with an error: `?name={name}`."""
    end = next((match.start() for match in re.compile(r"\)[^(){};@]*[{;=]").finditer(text, at)), at)
    needed = []
    for match in _PARAMETER.finditer(text, at, end + 1):
        given, kind, name = match[1] or "", match[2], match[3]
        after = text[match.end() : match.end() + 100]
        optional = re.match(r"\s*:\s*[\w<>]+(?:\?|\s*=)", after) is not None  # in Kotlin
        optional = (
            optional or kind.startswith(("Map", "Optional", "MultiValueMap")) or after.lstrip().startswith(": Map")
        )
        if not re.search(r"required\s*=\s*false|defaultValue", given) and not optional:
            needed.append((_TEXTS.findall(given) or [name])[0])
    return make_query(needed)


def _precedes_class(text: str, at: int, *, inside: bool) -> bool:
    """Whether an annotation belongs to a class: no parenthesis of a method comes before the word `class`."""
    rest = re.sub(r"@\w+(?:\s*\((?:[^()\"]|\"[^\"]*\")*\))?", " ", text[at : at + 2000])
    match = re.match(r"\s*(?:[\w<>,?\s]*?\s)?(class|interface)\s", rest)
    return match is not None or (not inside and "(" not in rest[:200])


def _list_paths(arguments: str) -> list[str]:
    named = _NAMED.search(arguments)
    if named is None and "=" in re.sub(_TEXTS, "", arguments):
        return [""]
    return _TEXTS.findall(named[1] if named else arguments) or [""]
