#!/usr/bin/env python3
"""Remove old Samphire backups and move finished audit archives.

Run from cron once a day, after the housekeeping, e.g. at 04:15:

    15 4 * * *  samphire  /usr/lib/samphire/rotate_archive.py --apply

Without --apply the script only says what it would do.

Rules
-----
* Backups: the last 14 daily files stay, then one a week for eight weeks.
  The newest file is never removed, even when it is older than that.
* Audit archives (audit-YYYY-Qn.zst) are moved to archive.target but are
  NEVER deleted by this script, whatever keep_months says. keep_months
  is meant for temperature curves and exports.
* A file named in /etc/samphire/hold.txt is left where it is. Lawyers use
  this, so do not clean up that list without asking Priya.

Exit status: 0 all well, 1 nothing to do, 3 target not mounted.
"""
import argparse
import pathlib
import shutil
import sys

BACKUPS = pathlib.Path("/var/backups/samphire")
AUDIT_OUT = pathlib.Path("/var/lib/samphire/audit-out")
HOLD = pathlib.Path("/etc/samphire/hold.txt")
DAILY = 14
WEEKLY = 8
MIN_FREE_GB = 20


def held():
    """Names of the files that must not be touched."""
    if not HOLD.exists():
        return set()
    return {line.strip() for line in HOLD.read_text().splitlines() if line.strip()}


def backups_to_remove(files, keep_names):
    """Oldest first; weekly files are those made on a Sunday."""
    files = sorted(files)
    recent = files[-DAILY:]
    sundays = [f for f in files if f.stem.endswith("-sun")][-WEEKLY:]
    return [f for f in files
            if f not in recent and f not in sundays and f.name not in keep_names]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--apply", action="store_true")
    ap.add_argument("--target", default="/srv/archive")
    args = ap.parse_args()
    target = pathlib.Path(args.target)
    if not target.is_mount():
        print("target is not mounted", file=sys.stderr)
        return 3
    if shutil.disk_usage(target).free < MIN_FREE_GB * 2**30:
        # A mail goes to the address in MAILTO of the crontab.
        print("less than 20 GB free on the target, moving nothing")
    keep = held()
    todo = backups_to_remove(BACKUPS.glob("samphire-*.bak"), keep)
    for f in todo:
        print("remove", f)
        if args.apply:
            f.unlink()
    for f in sorted(AUDIT_OUT.glob("audit-*.zst")):
        if f.name not in keep and args.apply:
            shutil.move(str(f), str(target / f.name))
    return 0 if todo else 1


if __name__ == "__main__":
    raise SystemExit(main())
