# A stand-in for nginx:1.26: Debian's nginx, with the official image's folders, user, log targets, signal and start page.
FROM bench-action-standin:trixie
RUN groupadd --gid 101 nginx \
 && useradd --uid 101 --gid nginx --home-dir /nonexistent --no-create-home --shell /bin/false nginx \
 && apt-get update \
 && apt-get install --yes --no-install-recommends nginx-light \
 && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-* /etc/nginx/modules-enabled /var/www \
 && mkdir --parents /etc/nginx/conf.d /usr/share/nginx/html /var/cache/nginx \
 && echo '<h1>Welcome to nginx!</h1>' >/usr/share/nginx/html/index.html \
 && ln -sf /dev/stdout /var/log/nginx/access.log \
 && ln -sf /dev/stderr /var/log/nginx/error.log
COPY nginx.conf /etc/nginx/nginx.conf
COPY nginx-start-page.conf /etc/nginx/conf.d/default.conf
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
