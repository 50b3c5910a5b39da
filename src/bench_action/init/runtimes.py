"""Which runtimes compile an application while it runs, and how long it takes until they are warm."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

WARMUP_S = 60  # at most: the example on a JVM takes 37 to 44 s (docs/how-it-decides.md)

# the last part of an image's name, or the last two
_JVM_IMAGE = (
    r".*openj(?:dk|re).*|.*\bj(?:dk|re)\b.*|java\d*(?:-debian\d+|-base.*)?|.*corretto.*|graalvm.*|liberica.*|ibmjava.*|"
    "eclipse-temurin|ibm-semeru-runtimes|sapmachine|tomcat|tomee|jetty|wildfly|payara/.*|open-liberty|websphere-liberty|"
    "maven|gradle|clojure|sbt|jruby|azul/.*|sbtscala/.*"
)
_COMPILERS = {  # runtime → its images and its programs
    "the JVM": (_JVM_IMAGE, r"java|catalina\.sh|mvnw?|gradlew?|lein|sbt|jruby|clojure|clj"),
    "PyPy": ("pypy", r"pypy3?(?:\.\d+)?"),
}


def find_compiler(framework: str, image: str, start: Sequence[str]) -> str:
    """Find the runtime that compiles while it runs; empty if none does for longer than a usual warm-up takes.

    `framework`: its name. `image`: what the image is based on. `start`: the words of the command that starts it.
    """
    parts = re.sub(r"(?:@|:[^/]*$).*", "", image.lower()).split("/")
    names = [parts[-1], "/".join(parts[-2:])]
    programs = [PurePosixPath(part).name for word in start for part in re.split(r"[\s;&|'\"]+", word)]
    for runtime, (images, program) in _COMPILERS.items():
        if any(re.fullmatch(images, name) for name in names) or any(re.fullmatch(program, name) for name in programs):
            return runtime
    return "the JVM" if framework == "Spring Boot" else ""
