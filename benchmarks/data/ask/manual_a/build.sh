#!/bin/bash
# Makes ./folder anew: the HTML manual of the Slurm workload manager as Debian 13 ships it.
# Needs: Debian 13 (trixie), apt-get, dpkg-deb, sha256sum. No root needed for the download itself.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
PKG=slurm-wlm-doc VER=24.11.5-4+deb13u1
DEB=${PKG}_${VER}_all.deb
[ -f "$DEB" ] || nice -n 10 apt-get download "$PKG=$VER"
rm -rf folder .x; mkdir .x
nice -n 10 dpkg-deb -x "$DEB" .x
mkdir folder
# all of usr/share/doc, as installed: slurm-wlm/html (the manual) and slurm-wlm-doc (copyright, changelog);
# html/jquery.min.js stays the link that it is in the package (it dangles where libjs-jquery is not installed)
cp -a .x/usr/share/doc/. folder/
rm -rf .x
(cd folder && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) > sha256.txt
sha256sum "$DEB" | sed 's/^/# /' >> sha256.txt
echo "$(find folder -type f | wc -l) files, $(du -sm folder | cut -f1) MB"
