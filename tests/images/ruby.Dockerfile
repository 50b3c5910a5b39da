# A stand-in for ruby:3.3: Debian's Ruby 3.3 with Bundler. No gem can be downloaded: those of Debian that the examples name
# in their Gemfile are installed already, so that `bundle install` finds each in the wanted version. Bundler would fetch
# those that are part of Ruby anyway, except with `--local`.
FROM bench-action-standin:trixie
ENV LANG=C.UTF-8
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      ruby ruby-bundler puma ruby-pg ruby-rackup ruby-redis ruby-sequel ruby-sinatra \
 && rm -rf /var/lib/apt/lists/* \
 && printf '%s\n' '#!/bin/sh' '[ "$1" != install ] || set -- "$@" --local' 'exec /usr/bin/bundle "$@"' >/usr/local/bin/bundle \
 && chmod 755 /usr/local/bin/bundle \
 && ruby --version && bundle --version
CMD ["irb"]
