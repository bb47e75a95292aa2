#!/bin/bash
# Makes ./folder anew on a clean Debian 13 (trixie) machine; no root needed, about 25 MB of downloads.
set -eu
cd "$(dirname "$(readlink -f "$0")")"
LO=libreoffice-help-de=4:25.2.3-2+deb13u12
IG=installation-guide-amd64=20250803+deb13u1
rm -rf folder tmp_build; mkdir -p folder tmp_build/lo tmp_build/ig tmp_build/deb
cd tmp_build/deb
# if a version is gone from the mirror, take it from https://snapshot.debian.org
nice -n 10 apt-get download "$LO" "$IG"
nice -n 10 dpkg-deb -x libreoffice-help-de_*.deb ../lo
nice -n 10 dpkg-deb -x installation-guide-amd64_*.deb ../ig
cd ../..
# 1. Debian installation guide, German edition, the language folder as packaged (HTML, images, .pdf.gz, .txt.gz)
cp -r tmp_build/ig/usr/share/doc/installation-guide-amd64/de folder/debian-installation
# 2. LibreOffice 25.2 help, German: seven module folders (not text/shared and text/sbasic: the limit is 1,500 pages),
#    with the navigation scripts that lie beside them
mkdir -p folder/libreoffice-hilfe/text
S=tmp_build/lo/usr/share/libreoffice/help/de
cp "$S"/*.js folder/libreoffice-hilfe/
for m in scalc schart sdatabase sdraw simpress smath swriter; do cp -r "$S/text/$m" folder/libreoffice-hilfe/text/; done
rm -rf tmp_build
find folder -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum > sha256.txt
