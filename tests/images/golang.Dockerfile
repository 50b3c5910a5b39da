# A stand-in for golang:1.24: Debian's Go 1.24. No module can be downloaded: a workspace outside of the sources takes those
# of Debian's packages instead, regardless of their version and hash in go.sum.
FROM bench-action-standin:trixie
ENV GOPATH=/go GOTOOLCHAIN=local GOFLAGS=-buildvcs=false GOPROXY=off GOWORK=/go/go.work \
    PATH=/go/bin:/usr/lib/go-1.24/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN apt-get update \
 && apt-get install --yes --no-install-recommends golang-1.24-go golang-github-lib-pq-dev \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir --parents /go/bin /go/src \
 && printf '%s\n' 'go 1.24' 'use /src' 'replace github.com/lib/pq => /usr/share/gocode/src/github.com/lib/pq' >/go/go.work \
 && cd /usr/share/gocode/src/github.com/lib/pq && { [ -e go.mod ] || printf 'module github.com/lib/pq\ngo 1.13\n' >go.mod; } \
 && GOWORK=off go version
WORKDIR /go
CMD ["bash"]
