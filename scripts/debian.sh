# shellcheck shell=bash
# To be sourced: Debian's archive as this machine reaches it. No address of a mirror is kept in this repository.

# debian_mirror debian|debian-security: the address that this machine's apt uses for it; nothing where it uses none
debian_mirror() {
  # shellcheck disable=SC2016  # apt fills the field in, not the shell
  apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 -E "/$1/?$" || true
}

# debian_download SUITE PACKAGE FOLDER: the package's archive of that suite, also of one that this machine does not use
debian_download() {
  local suite=$1 package=$2 folder=$3 mirror options
  mirror=$(debian_mirror debian)
  mkdir -p "$folder"/{lists,cache/archives}/partial
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
    >"$folder/sources.list"
  options=(--quiet --option APT::Sandbox::User=root --option Acquire::Languages=none
    --option "Dir::Etc::SourceList=$folder/sources.list" --option Dir::Etc::SourceParts=/dev/null
    --option "Dir::State::Lists=$folder/lists" --option "Dir::Cache=$folder/cache")
  apt-get "${options[@]}" update && (cd "$folder" && apt-get "${options[@]}" download "$package")
}
