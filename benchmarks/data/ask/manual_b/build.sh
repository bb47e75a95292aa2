#!/bin/bash
# Makes ./folder anew: the HTML manual of rsyslog from Debian 13 (trixie), and sha256.txt.
# From a clean machine: apt-get update first. Links into other packages (javascript) are dropped, no page is.
set -eu
cd "$(dirname "$0")"
V=8.2504.0+dfsg-1+deb13u1
rm -rf folder x; mkdir x
[ -f "rsyslog-doc_${V}_all.deb" ] || nice -n 10 apt-get download "rsyslog-doc=$V"
nice -n 10 dpkg-deb -x "rsyslog-doc_${V}_all.deb" x
cp -r x/usr/share/doc/rsyslog-doc folder
find folder -xtype l -delete
rm -rf x
find folder -type f | LC_ALL=C sort | xargs -d '\n' sha256sum > sha256.txt
wc -l sha256.txt
