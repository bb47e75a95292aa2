#!/bin/bash
# Makes ./folder anew: the manual of the Z shell from Debian 13 (trixie) - HTML, PDF, FAQ, Info - and sha256.txt.
# From a clean machine: apt-get update first. Needs apt-get, dpkg-deb, sha256sum; no root. No page is dropped;
# only the link zsh-doc -> zsh-common and the doc-base registration are left out.
set -eu
cd "$(dirname "$0")"
V=5.9-8
rm -rf folder x; mkdir x
[ -f "zsh-doc_${V}_all.deb" ] || nice -n 19 apt-get download "zsh-doc=$V"
nice -n 19 dpkg-deb -x "zsh-doc_${V}_all.deb" x
cp -r x/usr/share/doc/zsh-common folder
cp -r x/usr/share/info folder/info
find folder -xtype l -delete
rm -rf x
find folder -type f | LC_ALL=C sort | xargs -d '\n' sha256sum > sha256.txt
wc -l sha256.txt
