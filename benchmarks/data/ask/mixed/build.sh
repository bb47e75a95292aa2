#!/bin/bash
# Makes the mixed "team handbook" folder anew:  bash build.sh [TARGET]
# Needs Debian 13 (trixie) with apt-get, and: apt-get install pandoc dpkg-dev xz-utils bzip2 python3
# Everything comes from Debian packages (versions pinned); conversions: gunzip, pandoc -> docx,
# iconv -> Latin-1 / UTF-16, Maildir -> mbox, changelog -> JSON lines, JSON -> TSV/CSV.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
T=${1:-$HERE/folder}
C=${CACHE:-$HERE/w}
export LC_ALL=C.UTF-8 SOURCE_DATE_EPOCH=1700000000 TZ=UTC
mkdir -p "$C"/apt/lists/partial "$C"/apt/cache "$C"/deb "$C"/src "$C"/x "$C"/b

DEBS="aerc=0.20.0-2+b1 apt-doc=3.0.4 bacula-common=15.0.3-3 borgbackup-doc=1.4.0-5 debian-faq=12.2
 debian-faq-de=12.2 debian-policy=4.7.2.0 debian-refcard=13.1 debmake-doc=1.22-1 developers-reference=13.20
 doc-debian=11.3+nmu1 elpa-magit=4.3.5-1+deb13u1 git-doc=1:2.47.3-0+deb13u1 icingaweb2=2.12.4-2
 maint-guide=1.2.53 maint-guide-fr=1.2.53 manpages=6.9.1-1 mercurial-common=7.0.1-2
 pdns-backend-sqlite3=4.9.18-0+deb13u1 python3-sklearn=1.4.2+dfsg-8 roundcube-core=1.6.22+dfsg-0+deb13u1
 tzdata=2026f-0+deb13u1"
SRCS="automysqlbackup=2.6+debian.4-4 bzip2=1.0.8-6 chrony=4.6.1-3+deb13u2 cloud-init=25.1.4-1+deb13u1
 commons-csv=1.9.0-1 dehydrated=0.7.2-2 distro-info-data=0.66+deb13u2 dnscrypt-proxy=2.1.8+ds1-1
 embark=1.1-2 fail2ban=1.1.0-8 firewalld=2.3.1-1+deb13u1 git=1:2.47.3-0+deb13u1
 golang-github-containers-common=0.62.2+ds1-2 grepmail=5.3111-4 iso-codes=4.18.0-1 jq=1.7.1-6+deb13u4
 libtomcrypt=1.18.2+dfsg-7 libtommath=1.3.0-1 lnav=0.12.4-1+deb13u1 mosquitto=2.0.21-1 nano=8.4-1+deb13u1
 netplan.io=1.1.2-7 node-commander=9.4.1-1 notmuch=0.39-1 offlineimap3=0.0~git20240826.db34745+dfsg-2
 postfixadmin=3.3.15+ds-2 python-jsonlines=4.0.0-3 rsync=3.5.0+ds1-0+deb13u2 seaborn=0.13.2-5
 supervisor=4.2.5-3 task=2.6.2+dfsg-1 unattended-upgrades=2.12 weechat=4.6.3-1"

# --- get the packages
cat >"$C"/apt/sources.list <<E
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.pgp] http://deb.debian.org/debian trixie main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.pgp] http://deb.debian.org/debian-security trixie-security main
deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.pgp] http://deb.debian.org/debian trixie main
E
cat >"$C"/apt/apt.conf <<E
Dir::Etc::sourcelist "$C/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$C/apt/lists";
Dir::Cache "$C/apt/cache";
APT::Sandbox::User "root";
E
export APT_CONFIG="$C/apt/apt.conf"
[ -n "${NOUPDATE:-}" ] || apt-get -q update
cd "$C"/deb
for p in $DEBS; do n=${p%%=*}; v=${p#*=}
  ls "$n"_"${v/:/%3a}"_*.deb >/dev/null 2>&1 || apt-get -q download "$p"
  [ -d "$C/b/$n" ] || { mkdir -p "$C/b/$n"; dpkg-deb -x "$n"_"${v/:/%3a}"_*.deb "$C/b/$n"; }
done
cd "$C"/src
for p in $SRCS; do n=${p%%=*}; v=${p#*=}; v=${v#*:}; u=${v%-*}
  f() { ls "$n"_"$u".orig.tar.* "$n"_"$v".tar.* 2>/dev/null | grep -v '\.asc$' | head -1; }
  [ -n "$(f || true)" ] || apt-get -q source --download-only "$p" || true   # the tarball is what counts
  [ -n "$(f || true)" ] || { echo "no tarball of $n" >&2; exit 1; }
  [ -d "$C/x/$n" ] || { mkdir -p "$C/x/$n"; tar -C "$C/x/$n" --strip-components=1 -xf "$(f)"; }
done

# --- lay the folder
rm -rf "$T"; mkdir -p "$T"
X=$C/x; B=$C/b
c() { # c DEST-DIR-OR-FILE SOURCE...   copies; a .gz source is unpacked; DEST ending in / is a folder
  local d=$1 s t; shift
  for s in "$@"; do
    [ -f "$s" ] || { echo "missing: $s" >&2; exit 1; }
    case $d in */) t=$T/$d$(basename "${s%.gz}");; *) t=$T/$d;; esac
    mkdir -p "$(dirname "$t")"
    case $s in *.gz) gzip -dc "$s" >"$t";; *) cat "$s" >"$t";; esac
  done
}
docx() { mkdir -p "$(dirname "$T/$1")"; pandoc -f "$2" -t docx --resource-path="$(dirname "$3")" -o "$T/$1" "$3"; }

# governance, policies
D=$B/doc-debian/usr/share/doc/debian
c governance/ $D/debian-manifesto.gz; mv "$T"/governance/debian-manifesto "$T"/governance/manifesto.txt
c governance/ $D/social-contract.txt.gz
gzip -dc $D/constitution.txt.gz | sed -E 's/^([0-9A-C]+\. )/## \1/; s/^  ([0-9A-C]+\.[0-9]+\. )/### \1/; s/^   //' >"$C"/constitution.md; docx governance/constitution.docx markdown+lists_without_preceding_blankline "$C"/constitution.md
c governance/CODE_OF_CONDUCT.md $X/git/CODE_OF_CONDUCT.md
c governance/containers-security-policy.md $X/mosquitto/SECURITY.md; mv "$T"/governance/containers-security-policy.md "$T"/governance/reporting-a-vulnerability.md
c support/bug-tracker/ $D/bug-reporting.txt.gz $D/bug-maint-info.txt.gz $D/bug-maint-mailcontrol.txt.gz $D/bug-log-mailserver.txt.gz $D/mailing-lists.txt.gz
P=$B/debian-policy/usr/share/doc/debian-policy
c policies/packaging/policy-manual.epub $P/policy.epub
c policies/packaging/ $P/upgrading-checklist.txt.gz $P/perl-policy-1.html $P/copyright-format-1.0.html $P/virtual-package-names-list.yaml.gz
c policies/ $P/fhs/fhs-3.0.pdf.gz
c policies/developers-reference.epub $B/developers-reference/usr/share/developers-reference/developers-reference.epub
c onboarding/maintainers-guide.pdf $B/maint-guide/usr/share/doc/maint-guide/maint-guide.en.pdf
c onboarding/debmake-guide.pdf $B/debmake-doc/usr/share/doc/debmake-doc/debmake-doc.en.pdf
c onboarding/reference-card.pdf $B/debian-refcard/usr/share/doc/debian-refcard/refcard-en-a4.pdf.gz
F=$B/debian-faq/usr/share/doc/debian/FAQ
for p in index basic-defs choosing compatibility faqinfo ftparchives getting-debian kernel pkg-basics pkgtools support uptodate; do c onboarding/faq/ $F/$p.en.html; done
c onboarding/apt/guide/ $B/apt-doc/usr/share/doc/apt-doc/guide.html/{index,ch1,ch2,ch3,ch4}.html
c onboarding/apt/ $B/apt-doc/usr/share/doc/apt-doc/offline.text.gz; mv "$T"/onboarding/apt/offline.text "$T"/onboarding/apt/offline.txt

# operations: backup
H=$B/borgbackup-doc/usr/share/doc/borgbackup-doc/html
c ops/backup/borg/ $H/{index,quickstart,installation,faq,support,usage,introduction,search}.html
c ops/backup/borg/usage/ $H/usage/{check,compact,create,general,init,key,mount,prune,serve}.html
c ops/backup/borg/internals/ $H/internals/security.html
for p in central-backup-server hosting-repositories automated-local image-backup pull-backup; do docx ops/backup/runbooks/$p.docx html $H/deployment/$p.html; done
c ops/backup/mysql/automysqlbackup.sh $X/automysqlbackup/automysqlbackup
E=$B/bacula-common/usr/share/doc/bacula-common/examples
c ops/backup/bacula/ $E/sample-query.sql $E/database/dbcheck.sql $E/ssh-tunnel.sh $E/reports/next_tape.sh $E/backup-to-usb.txt $E/backup-every-other-week.txt
mkdir -p "$T"/ops/backup/bacula/windows
sed 's/$/\r/' $E/upgrade-win32-client.txt | iconv -f utf-8 -t utf-16le | (printf '\xff\xfe'; cat) >"$T"/ops/backup/bacula/windows/upgrade-win32-client.txt
c ops/backup/rsync/ $X/rsync/rsyncd.conf.5 $X/rsync/rsync-ssl.1 $X/rsync/SECURITY.md
c ops/backup/rsync/tech_report.tex $X/rsync/tech_report.tex
# operations: certificates, dns, time
c ops/certificates/ $X/dehydrated/docs/{wellknown,per-certificate-config,staging,ecc,hook_chain,troubleshooting,tls-alpn,domains_txt,dns-verification}.md
c ops/certificates/ $X/dehydrated/docs/man/dehydrated.1
c ops/certificates/hook.sh $X/dehydrated/docs/examples/hook.sh
c ops/certificates/dehydrated.sh $X/dehydrated/dehydrated
c ops/dns/ $X/dnscrypt-proxy/dnscrypt-proxy/example-dnscrypt-proxy.toml $X/dnscrypt-proxy/dnscrypt-proxy/example-{blocked-names,cloaking-rules,forwarding-rules}.txt $X/dnscrypt-proxy/utils/generate-domains-blocklist/generate-domains-blocklist.py
c ops/dns/odoh-test.toml $X/dnscrypt-proxy/.ci/test-odoh-proxied.toml
S=$B/pdns-backend-sqlite3/usr/share/pdns-backend-sqlite3/schema
c ops/dns/powerdns/ $S/schema.sqlite3.sql $S/4.3.1_to_4.7.0_schema.sqlite3.sql $S/bind-dnssec.schema.sqlite3.sql
c ops/time/ $X/chrony/doc/{faq,chrony.conf,chronyd,installation}.adoc
c ops/time/chrony.conf.example $X/chrony/examples/chrony.conf.example3
iconv -f utf-8 -t iso-8859-1 $X/chrony/README >"$T"/ops/time/README-chrony.txt
Z=$B/tzdata/usr/share/zoneinfo
c ops/time/zones/zone1970.tsv $Z/zone1970.tab; c ops/time/zones/iso3166.tsv $Z/iso3166.tab; c ops/time/zones/zonenow.tsv $Z/zonenow.tab
# operations: security
c ops/security/fail2ban/ $X/fail2ban/config/jail.conf $X/fail2ban/config/fail2ban.conf $X/fail2ban/man/jail.conf.5 $X/fail2ban/man/fail2ban-{client,regex,server}.1
c ops/security/fail2ban/filters/ $X/fail2ban/config/filter.d/{sshd,recidive,nginx-limit-req,apache-auth}.conf
c ops/security/fail2ban/ $X/fail2ban/fail2ban/server/{banmanager,failmanager}.py
c ops/security/firewall/services/ $X/firewalld/config/services/{amanda-client,bacula,ceph-mon,cockpit,freeipa-ldap,high-availability,ipsec,kdeconnect,mdns,nfs,samba,synergy}.xml
c ops/security/firewall/zones/ $X/firewalld/config/zones/{block,dmz,drop,external,public,trusted}.xml
c ops/security/firewall/manual/ $X/firewalld/doc/xml/{firewalld.conf,firewalld.ipset,firewalld.richlanguage,firewalld.zone,firewalld.policies,firewalld.direct,firewalld.helper}.xml
c ops/security/upgrades/ $X/unattended-upgrades/README.md $X/unattended-upgrades/man/unattended-upgrade.8 $X/unattended-upgrades/unattended-upgrade-shutdown
mv "$T"/ops/security/upgrades/unattended-upgrade-shutdown "$T"/ops/security/upgrades/unattended_upgrade_shutdown.py
# operations: provisioning, network, containers
for p in cloud-config-apt cloud-config-chef cloud-config-disk-setup cloud-config-mount-points cloud-config-ntp cloud-config-reporting cloud-config-user-groups cloud-config-write-files; do c ops/provisioning/$p.yaml $X/cloud-init/doc/examples/$p.txt; done
c ops/provisioning/ $X/cloud-init/doc/rtd/explanation/{boot,vendordata,instancedata,analyze}.rst
c ops/provisioning/schema/ $X/cloud-init/cloudinit/config/schemas/schema-network-config-v1.json
c ops/network/netplan/ $X/netplan.io/doc/{netplan-yaml,security,cli,structure-id,netplan-try,netplan-tutorial,matching-interface-by-mac-address,single-nic-vm-host}.md
c ops/network/netplan/examples/ $X/netplan.io/examples/{bonding,bridge_vlan,ipv6_tunnel,modem,route_metric,source_routing,static,vrf,windows_dhcp_server,wireguard}.yaml
c ops/network/ $B/manpages/usr/share/man/man5/{resolv.conf,nsswitch.conf,hosts,services}.5.gz
c ops/containers/containers.toml $X/golang-github-containers-common/pkg/config/containers.conf
c ops/containers/ $X/golang-github-containers-common/docs/{containers.conf.5,containerignore.5,containers-mounts.conf.5}.md $X/golang-github-containers-common/pkg/hooks/docs/oci-hooks.5.md
c ops/containers/seccomp-example.json $X/golang-github-containers-common/pkg/seccomp/fixtures/example.json
c ops/containers/docker-compose.yml $X/task/docker-compose.yml
c ops/containers/fly.toml $X/lnav/demo/fly.toml
c ops/processes/ $X/supervisor/docs/{configuration,events,faq,glossary,logging,running,subprocess}.rst
c ops/processes/supervisord.ini $X/supervisor/supervisor/skel/sample.conf
c ops/processes/examples/ $X/supervisor/supervisor/scripts/sample_eventlistener.py $X/supervisor/supervisor/{process,childutils}.py
# operations: messaging
c ops/messaging/mqtt/ $X/mosquitto/man/{mosquitto.8,mosquitto-tls.7,mosquitto_passwd.1,mosquitto_pub.1,mosquitto_rr.1,mqtt.7}.xml
docx ops/messaging/mqtt/broker-configuration.docx docbook $X/mosquitto/man/mosquitto.conf.5.xml
c ops/messaging/mqtt/aclfile.txt $X/mosquitto/aclfile.example
c ops/messaging/mqtt/examples/ $X/mosquitto/examples/mysql_log/mysql_log.c $X/mosquitto/examples/subscribe/basic-1.c $X/mosquitto/examples/temperature_conversion/temperature_conversion.cpp $X/mosquitto/examples/temperature_conversion/Makefile
sed 's/$/\r/' $X/mosquitto/README-windows.txt | iconv -f utf-8 -t utf-16le | (printf '\xff\xfe'; cat) >"$T"/ops/messaging/mqtt/README-windows.txt
# operations: mail, logs, monitoring
c ops/mail/offlineimap.ini $X/offlineimap3/offlineimap.conf
c ops/mail/aerc.ini $B/aerc/usr/share/aerc/aerc.conf
c ops/mail/webmail/mysql.initial.sql $B/roundcube-core/usr/share/roundcube/SQL/mysql.initial.sql
c ops/mail/webmail/postgres.initial.sql $B/roundcube-core/usr/share/roundcube/SQL/postgres.initial.sql
c ops/mail/ $X/postfixadmin/password_expiration.sql
c ops/monitoring/pgsql.schema.sql $B/icingaweb2/usr/share/icingaweb2/schema/pgsql.schema.sql
L=$X/fail2ban/fail2ban/tests/files/logs
for p in apache-auth asterisk dovecot mongodb-auth named-refused nginx-http-auth postfix proftpd sshd; do c logs/auth-samples/$p.log $L/$p; done
N=$X/lnav/test
c logs/app/access.log $N/logfile_access_log.0; c logs/app/haproxy.log $N/logfile_haproxy.0; c logs/app/vdsm.log $N/logfile_vdsm.0; c logs/app/uwsgi.log $N/logfile_uwsgi.0
c logs/app/glog.log $N/logfile_glog.0; c logs/app/syslog.log $N/logfile_syslog.0; c logs/app/strace.log $N/logfile_strace_log.0
c logs/app/vpxd.log $N/logfile_vpxd.0; c logs/app/zookeeper.log $N/logfile_mux_zookeeper.0
c logs/json/renovate.jsonl $N/logfile_bunyan.0; c logs/json/gharchive.jsonl $N/gharchive_log.jsonl; c logs/json/ecs-app.jsonl $N/logfile_ecs_log.json; c logs/json/cloudflare.jsonl $N/logfile_cloudflare.json
c logs/viewer/ $X/lnav/docs/source/{cli,commands,config,cookbook,faq,hotkeys,performance,sessions,usage}.rst
c logs/viewer/src/ $X/lnav/src/{line_buffer,log_level,hist_source}.cc $X/lnav/src/init.sql
# engineering: git
G=$B/git-doc/usr/share/doc/git-doc
c engineering/git/ $G/{git-bisect,git-clean,git-gc,git-stash,git-worktree,git-notes,git-bundle,gitignore,githooks,giteveryday,gitcredentials}.txt
c engineering/git/ $G/SubmittingPatches.html $G/ReviewingGuidelines.html $G/DecisionMaking.html
c engineering/git/howto/ $X/git/Documentation/howto/{coordinate-embargoed-releases,recover-corrupted-blob-object,revert-a-faulty-merge,use-git-daemon,separating-topic-branches,using-signed-tag-in-pull-request}.txt
iconv -f utf-8 -t iso-8859-1 $X/git/Documentation/MyFirstContribution.txt >"$T"/engineering/git/MyFirstContribution.txt
c engineering/git/ $X/git/contrib/git-resurrect.sh $X/git/contrib/rerere-train.sh
c engineering/git/subtree/Makefile $X/git/contrib/subtree/Makefile
c engineering/git/diff-highlight/ $X/git/contrib/diff-highlight/README $X/git/contrib/diff-highlight/Makefile
c engineering/mercurial/default-tools.ini $B/mercurial-common/etc/mercurial/hgrc.d/default-tools.rc
c engineering/emacs/magit.org $B/elpa-magit/usr/share/doc/elpa-magit/magit.org.gz
c engineering/emacs/embark.org $X/embark/README.org; c engineering/emacs/embark-changelog.org $X/embark/CHANGELOG.org; c engineering/emacs/notmuch-keybindings.org $X/notmuch/devel/emacs-keybindings.org
c engineering/editors/ $X/nano/doc/nano.1 $X/nano/doc/nanorc.5 $X/nano/doc/faq.html
# engineering: code
c engineering/code/c/rsync/ $X/rsync/{batch,chmod,fileio,match,token}.c
c engineering/code/c/chrony/ $X/chrony/{leapdb,quantiles,smooth,tempcomp}.c
c engineering/code/c/rsync/Makefile $X/rsync/support/Makefile
c engineering/code/cpp/taskwarrior/ $X/task/src/{Hooks,TDB2,nag,recur,sort,util,dependency}.cpp
c engineering/code/java/csv/ $X/commons-csv/src/main/java/org/apache/commons/csv/{CSVFormat,CSVParser,CSVRecord,QuoteMode,Token,ExtendedBufferedReader}.java
c engineering/code/java/csv/changes.xml $X/commons-csv/src/changes/changes.xml
c engineering/code/js/commander/ $X/node-commander/lib/{argument,command,error,help,option,suggestSimilar}.js $X/node-commander/package.json $X/node-commander/docs/{deprecated,options-taking-varying-arguments,terminology}.md
c engineering/code/js/commander/examples/ $X/node-commander/examples/{options-conflicts,options-env}.js
c engineering/code/python/jsonlines/ $X/python-jsonlines/jsonlines/jsonlines.py $X/python-jsonlines/doc/index.rst $X/python-jsonlines/tox.ini $X/python-jsonlines/mypy.ini
c engineering/code/python/cloudinit/ $X/cloud-init/cloudinit/{atomic_helper,dmi,gpg,util}.py $X/cloud-init/pyproject.toml $X/cloud-init/tox.ini
c engineering/crypto/ $X/libtomcrypt/doc/crypt.tex $X/libtommath/doc/bn.tex
c engineering/crypto/tech-notes/ $X/libtomcrypt/notes/tech000{1,2,4}.txt
c engineering/compression/bzip2-manual.xml $X/bzip2/manual.xml
c engineering/compression/Makefile $X/bzip2/Makefile
# data, notebooks
A=$B/python3-sklearn/usr/lib/python3/dist-packages/sklearn/datasets
c data/csv/ $A/data/{iris,wine_data,breast_cancer,linnerud_exercise,linnerud_physiological}.csv $X/distro-info-data/{debian,ubuntu}.csv
c data/descr/ $A/descr/{iris,wine_data,breast_cancer,linnerud,diabetes}.rst
c data/codes/ $X/iso-codes/data/{iso_3166-1,iso_4217,iso_639-5,schema-4217}.json
python3 - "$X" "$T" <<'PY'
import json,sys,re,email.utils
X,T=sys.argv[1:]
d=json.load(open(X+'/iso-codes/data/iso_15924.json'))['15924']
with open(T+'/data/codes/scripts.tsv','w') as f:
    f.write('alpha_4\tname\tnumeric\n')
    for r in d: f.write('%s\t%s\t%s\n'%(r['alpha_4'],r['name'],r['numeric']))
d=json.load(open(X+'/iso-codes/data/iso_3166-3.json'))['3166-3']
with open(T+'/data/codes/former-countries.csv','w') as f:
    import csv; w=csv.writer(f,lineterminator='\n'); w.writerow(['alpha_4','alpha_3','name','withdrawal_date','comment'])
    for r in d: w.writerow([r['alpha_4'],r['alpha_3'],r['name'],r['withdrawal_date'],r.get('comment','')])
# the changelog of unattended-upgrades, one version a line
t=open(X+'/unattended-upgrades/debian/changelog').read()
with open(T+'/ops/security/upgrades/releases.jsonl','w') as f:
    for m in re.finditer(r'^(\S+) \(([^)]*)\) ([^;]*);.*\n((?:.*\n)*?) -- (.*?)  (.*)$',t,re.M):
        ch=[re.sub(r'\s+',' ',c).strip() for c in re.split(r'\n  \* ','\n'+m[4].strip('\n')) if c.strip()]
        f.write(json.dumps({'package':m[1],'version':m[2],'suite':m[3],'maintainer':m[5],'date':m[6],'changes':ch},ensure_ascii=False)+'\n')
PY
c data/notebooks/ $X/seaborn/doc/_tutorial/{aesthetics,categorical,color_palettes,data_structure,distributions,error_bars,properties,regression}.ipynb
c data/notebooks/pyproject.toml $X/seaborn/pyproject.toml; c data/notebooks/Makefile $X/seaborn/doc/Makefile
c data/jq/manual.yml $X/jq/docs/content/manual/v1.7/manual.yml; c data/jq/tutorial.yml $X/jq/docs/content/tutorial/default.yml
# chat, tasks
W=$X/weechat/doc/en
c chat/weechat/ $W/weechat_{quickstart,faq,relay_weechat,relay_api,dev}.en.adoc
c tasks/ $X/task/doc/man/task.1.in $X/task/doc/man/taskrc.5.in $X/task/doc/man/task-sync.5.in
for p in task.1 taskrc.5 task-sync.5; do mv "$T"/tasks/$p.in "$T"/tasks/$p; done
# translations
c i18n/nano/ $X/nano/po/{de,fr}.po
c i18n/firewalld/de.po $X/firewalld/po/de.po
c i18n/unattended-upgrades/ $X/unattended-upgrades/po/{de,es}.po
c i18n/postfixadmin/de.po $X/postfixadmin/ADDITIONS/squirrelmail-plugin/locale/de_DE/LC_MESSAGES/postfixadmin.po
mkdir -p "$T"/i18n/guides
gzip -dc $B/debian-faq-de/usr/share/doc/debian/FAQ/debian-faq.de.txt.gz | iconv -f utf-8 -t iso-8859-1//TRANSLIT >"$T"/i18n/guides/debian-faq.de.txt
gzip -dc $B/maint-guide-fr/usr/share/doc/maint-guide-fr/maint-guide.fr.txt.gz | iconv -f utf-8 -t iso-8859-1//TRANSLIT >"$T"/i18n/guides/maint-guide.fr.txt
# mail archive
M=$X/grepmail/t/mailboxes
c mail-archive/handyboard-1998.mbox $M/mailarc-1.txt; c mail-archive/handyboard-1999.mbox $M/mailarc-2.txt
c mail-archive/patch-samples.mbox $X/git/t/t5100/sample.mbox
python3 - "$X" "$T" <<'PY'
import sys,glob,os,re,email,email.utils
X,T=sys.argv[1:]
ms=sorted(glob.glob(X+'/notmuch/test/corpora/default/cur/*'))
os.makedirs(T+'/mail-archive/messages',exist_ok=True)
out=open(T+'/mail-archive/notmuch-2009-11.mbox','wb')
for i,p in enumerate(ms):
    b=open(p,'rb').read()
    m=email.message_from_bytes(b)
    if i%4==3:      # every fourth message as a file of its own, the others in the mbox
        s=re.sub(r'[^A-Za-z0-9]+','-',re.sub(r'\s+',' ',str(m['Subject'] or 'no subject'))).strip('-').lower()[:60]
        open('%s/mail-archive/messages/%02d-%s.eml'%(T,i,s),'wb').write(b)
    else:
        d=email.utils.parsedate_to_datetime(m['Date'])
        a=email.utils.parseaddr(str(m['From']))[1]
        out.write(('From %s %s\n'%(a,d.strftime('%a %b %d %H:%M:%S %Y'))).encode())
        out.write(re.sub(rb'(?m)^(>*From )',rb'>\1',b).rstrip(b'\n')+b'\n\n')
out.close()
PY
c mail-archive/messages/ $X/notmuch/test/corpora/protected-headers/{nested-rfc822-message,simple-signed-mail,protected-header}.eml $X/notmuch/test/corpora/attachment/text-calendar.eml

cd "$T"; find . -type f | LC_ALL=C sort | sed 's#^\./##' | xargs -d '\n' sha256sum >"$HERE"/sha256.txt
echo "$(find . -type f | wc -l) files, $(du -sm . | cut -f1) MB"
