# A stand-in for php:8.4-apache: Debian's PHP 8.4 in Apache, with the official image's folders, commands and log targets.
FROM bench-action-standin:trixie
ENV PHP_INI_DIR=/usr/local/etc/php APACHE_DOCUMENT_ROOT=/var/www/html
RUN apt-get update \
 && apt-get install --yes --no-install-recommends apache2 libapache2-mod-php8.4 php8.4-cli \
 && rm -rf /var/lib/apt/lists/* /var/www/html/* \
 && mkdir --parents "$PHP_INI_DIR" \
 && ln -s /etc/php/8.4/apache2/conf.d "$PHP_INI_DIR/conf.d" \
 && ln -sf /dev/stdout /var/log/apache2/access.log \
 && ln -sf /dev/stdout /var/log/apache2/other_vhosts_access.log \
 && ln -sf /dev/stderr /var/log/apache2/error.log \
 && echo 'ServerName localhost' >/etc/apache2/conf-enabled/name.conf \
 && php --version
COPY php-apache2-foreground /usr/local/bin/apache2-foreground
COPY php-ext-install /usr/local/bin/docker-php-ext-install
STOPSIGNAL SIGWINCH
WORKDIR /var/www/html
EXPOSE 80
CMD ["apache2-foreground"]
