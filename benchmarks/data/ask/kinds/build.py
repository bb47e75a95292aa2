#!/usr/bin/env python3
"""Writes a folder of forty kinds of file, one file of each:  python build.py FOLDER

The texts lie in source/ beside this script and are written for this purpose. Needs Python 3.11
or later and, from Debian 13:  apt-get install pandoc groff ghostscript qpdf
The same versions give the same bytes: no clock, no random numbers, no network.
"""
import gzip
import html
import io
import json
import os
import quopri
import random
import re
import runpy
import subprocess
import sys
import tempfile
import zipfile
import zlib
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

HERE = Path(__file__).resolve().parent
SRC = HERE / "source"
EPOCH = "1700000000"
ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC", "SOURCE_DATE_EPOCH": EPOCH,
       "HOME": os.environ.get("HOME", "/tmp"), "GROFF_NO_SGR": "1"}

# Texts that are files of their kind already: source name -> name in the folder
PLAIN = {
    "deck.txt": "car-deck-winter.txt", "observing.md": "night-guide.md", "scanning.rst": "map-digitising.rst",
    "pool.adoc": "lindenbad-handbook.adoc", "minutes.org": "committee-notebook.org",
    "loans.html": "lending-objects.html", "help.xhtml": "returning-a-bicycle.xhtml",
    "wasserwerk.csv": "proben-2023.csv", "rolling.json": "rolling-stock.json",
    "tickets.jsonl": "helpdesk-october.jsonl", "fermentation.yaml": "brewhouse.yaml",
    "stations.toml": "field-stations.toml", "lamp.xml": "care-of-the-optic.xml", "pumps.log": "pumping-station.log",
    "bog.tex": "technical-note-17.tex", "lichens.bib": "lichen-survey.bib", "tidectl.1": "tidectl.1",
    "weft.texi": "weft.texi", "sorter.py": "chutes.py", "oven.c": "oven.c", "foodbank.sql": "schema.sql",
    "zoo-de.po": "visitor-app-de.po", "interview.vtt": "recording-14.vtt",
}


def text(name):
    return (SRC / name).read_text(encoding="utf-8")


def call(*args, data=None):
    p = subprocess.run(args, input=data, stdout=subprocess.PIPE, env=ENV, check=True)
    return p.stdout


def pack(members):
    """A zip with fixed dates; a member named mimetype comes first and is not compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in sorted(members, key=lambda m: m[0] != "mimetype"):
            info = zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20))
            info.external_attr = 0o644 << 16
            info.create_system = 3
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            z.writestr(info, data.encode() if isinstance(data, str) else data)
    return out.getvalue()


# --- pandoc: docx, odt, pptx, epub

def office(source, kind, *args):
    with tempfile.TemporaryDirectory() as d:
        f = os.path.join(d, "x." + kind)
        call("pandoc", "--from=markdown", "--to=" + kind, *args, "-o", f, str(SRC / source))
        with zipfile.ZipFile(f) as z:
            return pack([(n, z.read(n)) for n in z.namelist() if not n.endswith("/")])


# --- troff and Ghostscript: text PDF, scanned PDF, encrypted PDF

GS = ("gs", "-q", "-dBATCH", "-dNOPAUSE", "-dSAFER", "-sPAPERSIZE=a4")


def ps(source):
    return call("groff", "-k", "-ms", "-Tps", "-P-pa4", "-dpaper=a4", str(SRC / source))


def pdf(source, *qpdf):
    with tempfile.TemporaryDirectory() as d:
        a, b = os.path.join(d, "a.pdf"), os.path.join(d, "b.pdf")
        call(*GS, "-sDEVICE=pdfwrite", "-dOmitInfoDate=true", "-dOmitID=true", "-dOmitXMP=true",
             "-sOutputFile=" + a, "-", data=ps(source))
        call("qpdf", "--static-id", *qpdf, a, b)
        return Path(b).read_bytes()


def scan(source):
    """Pages drawn at 150 dots an inch, set askew, soiled, and put into a PDF as pictures only."""
    rnd = random.Random(1962)
    with tempfile.TemporaryDirectory() as d:
        call(*GS, "-sDEVICE=pbmraw", "-r150", "-sOutputFile=" + os.path.join(d, "p%02d.pbm"), "-", data=ps(source))
        pages = []
        for f in sorted(Path(d).iterdir()):
            m = re.match(rb"P4\s+(?:#[^\n]*\n\s*)?(\d+)\s+(\d+)\s", data := f.read_bytes())
            w, h = int(m[1]), int(m[2])
            stride, at = (w + 7) // 8, m.end()
            rows = [int.from_bytes(data[at + y * stride:at + (y + 1) * stride], "big") for y in range(h)]
            top, slope = rnd.randrange(6, 15), rnd.choice((-1, 1)) * 0.009
            bits, out = stride * 8, []
            for y in range(h):
                k = round((y - h / 2) * slope)
                r = rows[y] >> k if k >= 0 else rows[y] << -k & (1 << bits) - 1
                if y < top:
                    r = (1 << bits) - 1                   # the edge of the glass
                out.append(r)
            for _ in range(2500):                         # dust
                y, x = rnd.randrange(h), rnd.randrange(8, bits - 8)
                out[y] ^= 1 << x
                if rnd.random() < .2 and y + 1 < h:
                    out[y] |= 3 << x
                    out[y + 1] |= 3 << x
            pages.append((w, h, zlib.compress(b"".join(r.to_bytes(stride, "big") for r in out), 9)))
    objs, kids = [b"<< /Type /Catalog /Pages 2 0 R >>", b""], []
    for w, h, z in pages:
        n = len(objs) + 1
        kids.append(b"%d 0 R" % n)
        c = b"q 595 0 0 842 0 0 cm /Im0 Do Q"
        objs.append(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R /Resources"
                    b" << /ProcSet [/PDF /ImageB] /XObject << /Im0 %d 0 R >> >> >>" % (n + 1, n + 2))
        objs.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(c), c))
        objs.append(b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 1"
                    b" /Decode [1 0] /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (w, h, len(z), z))
    objs[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for i, o in enumerate(objs, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (i, o)
    x = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objs) + 1)
    out += b"".join(b"%010d 00000 n \n" % p for p in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objs) + 1, x)
    return bytes(out)


# --- RTF as a word processor writes it

def rtf(source):
    def esc(s):
        out = []
        for c in s:
            if c in "\\{}":
                out.append("\\" + c)
            elif ord(c) < 128:
                out.append(c)
            else:
                try:
                    out.append("\\'%02x" % c.encode("cp1252")[0])
                except UnicodeEncodeError:
                    out.append("\\u%d?" % ord(c))
        return "".join(out)

    out = [r"{\rtf1\ansi\ansicpg1252\deff0\deflang1053{\fonttbl{\f0\froman\fcharset0 Times New Roman;}"
           r"{\f1\fswiss\fcharset0 Arial;}}",
           r"{\colortbl ;\red0\green0\blue0;\red31\green73\blue125;}",
           r"{\stylesheet{\ql\f0\fs24 Normal;}{\s1\ql\sb240\sa60\keepn\b\f1\fs28\cf2 heading 1;}}",
           r"{\info{\title House rules}{\author Styrelsen}{\creatim\yr2019\mo4\dy11\hr9\min30}}",
           r"\paperw11906\paperh16838\margl1417\margr1417\viewkind4\uc1"]
    for line in text(source).splitlines():
        if line.startswith("#"):
            out.append(r"\pard\plain\s1\ql\sb240\sa60\keepn\b\f1\fs28\cf2 %s\par" % esc(line[1:]))
        else:
            rows, first = [], True
            for s in re.split(r"(?<=[.!?]) ", esc(line)):    # a run for each sentence, as after editing
                rows.append(("" if first else "{\\insrsid%d  " % (4400000 + len(s) * 37)) + s
                            + ("" if first else "}"))
                first = False
            out.append(r"\pard\plain\ql\sa120\f0\fs24 " + "\n".join(rows) + r"\par")
    return ("\r\n".join(out).replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n}").encode("ascii")


# --- spreadsheets

def sheets(source):
    out = []
    for line in text(source).splitlines():
        if line.startswith("#"):
            out.append((line[1:], []))
        elif line:
            out[-1][1].append(line.split("|"))
    return out


NUMBER = re.compile(r"-?\d+(?:\.\d+)?\Z")
DAY = re.compile(r"(\d\d)\.(\d\d)\.(\d{4})\Z")


def xlsx(source):
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    pkg = "http://schemas.openxmlformats.org/package/2006/"
    strings, members, count = {}, [], 0
    data = sheets(source)
    for n, (_, rows) in enumerate(data, 1):
        x = [head, '<worksheet xmlns="%s"><sheetData>' % main]
        for y, row in enumerate(rows, 1):
            x.append('<row r="%d">' % y)
            for i, v in enumerate(row):
                ref = "%s%d" % (chr(65 + i), y)
                if m := DAY.match(v):
                    x.append('<c r="%s" s="2"><v>%d</v></c>' % (ref, (date(int(m[3]), int(m[2]), int(m[1])) - date(1899, 12, 30)).days))
                elif NUMBER.match(v):
                    x.append('<c r="%s"><v>%s</v></c>' % (ref, v))
                elif v:
                    count += 1
                    x.append('<c r="%s" t="s"%s><v>%d</v></c>' % (ref, ' s="1"' if y == 1 else "", strings.setdefault(v, len(strings))))
            x.append("</row>")
        x.append("</sheetData></worksheet>")
        members.append(("xl/worksheets/sheet%d.xml" % n, "".join(x)))
    k = len(data)
    ct = "application/vnd.openxmlformats-officedocument.spreadsheetml."
    members[:0] = [
        ("[Content_Types].xml", head + '<Types xmlns="%scontent-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
         '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="%ssheet.main+xml"/>' % (pkg, ct)
         + "".join('<Override PartName="/xl/worksheets/sheet%d.xml" ContentType="%sworksheet+xml"/>' % (n, ct) for n in range(1, k + 1))
         + '<Override PartName="/xl/styles.xml" ContentType="%sstyles+xml"/><Override PartName="/xl/sharedStrings.xml" ContentType="%ssharedStrings+xml"/></Types>' % (ct, ct)),
        ("_rels/.rels", head + '<Relationships xmlns="%srelationships"><Relationship Id="rId1" Type="%s/officeDocument" Target="xl/workbook.xml"/></Relationships>' % (pkg, rel)),
        ("xl/workbook.xml", head + '<workbook xmlns="%s" xmlns:r="%s"><sheets>' % (main, rel)
         + "".join('<sheet name=%s sheetId="%d" r:id="rId%d"/>' % (quoteattr(t), n, n) for n, (t, _) in enumerate(data, 1)) + "</sheets></workbook>"),
        ("xl/_rels/workbook.xml.rels", head + '<Relationships xmlns="%srelationships">' % pkg
         + "".join('<Relationship Id="rId%d" Type="%s/worksheet" Target="worksheets/sheet%d.xml"/>' % (n, rel, n) for n in range(1, k + 1))
         + '<Relationship Id="rId%d" Type="%s/styles" Target="styles.xml"/><Relationship Id="rId%d" Type="%s/sharedStrings" Target="sharedStrings.xml"/></Relationships>' % (k + 1, rel, k + 2, rel)),
        ("xl/styles.xml", head + '<styleSheet xmlns="%s"><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
         '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills><borders count="1"><border/></borders>'
         '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs><cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
         '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/><xf numFmtId="14" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>' % main),
        ("xl/sharedStrings.xml", head + '<sst xmlns="%s" count="%d" uniqueCount="%d">' % (main, count, len(strings))
         + "".join("<si><t>%s</t></si>" % escape(s) for s in strings) + "</sst>")]
    return pack(members)


def ods(source):
    ns = "urn:oasis:names:tc:opendocument:xmlns:"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    x = [head, '<office:document-content xmlns:office="%soffice:1.0" xmlns:table="%stable:1.0" xmlns:text="%stext:1.0" office:version="1.2"><office:body><office:spreadsheet>' % (ns, ns, ns)]
    for title, rows in sheets(source):
        x.append('<table:table table:name=%s><table:table-column table:number-columns-repeated="%d"/>' % (quoteattr(title), len(rows[0])))
        for row in rows:
            x.append("<table:table-row>")
            for v in row:
                if NUMBER.match(v):
                    x.append('<table:table-cell office:value-type="float" office:value="%s"><text:p>%s</text:p></table:table-cell>' % (v, v))
                elif v:
                    x.append('<table:table-cell office:value-type="string"><text:p>%s</text:p></table:table-cell>' % escape(v))
                else:
                    x.append("<table:table-cell/>")
            x.append('<table:table-cell table:number-columns-repeated="%d"/></table:table-row>' % (1024 - len(row)))
        # a spreadsheet program fills the sheet down to its last row like this
        x.append('<table:table-row table:number-rows-repeated="%d"><table:table-cell table:number-columns-repeated="1024"/></table:table-row></table:table>' % (1048576 - len(rows)))
    x.append("</office:spreadsheet></office:body></office:document-content>")
    mime = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = head + ('<manifest:manifest xmlns:manifest="%smanifest:1.0" manifest:version="1.2"><manifest:file-entry manifest:full-path="/" manifest:version="1.2" manifest:media-type="%s"/>'
                       '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/><manifest:file-entry manifest:full-path="styles.xml" manifest:media-type="text/xml"/>'
                       '<manifest:file-entry manifest:full-path="meta.xml" manifest:media-type="text/xml"/></manifest:manifest>' % (ns, mime))
    return pack([("mimetype", mime), ("content.xml", "".join(x)),
                 ("styles.xml", head + '<office:document-styles xmlns:office="%soffice:1.0" office:version="1.2"><office:styles/></office:document-styles>' % ns),
                 ("meta.xml", head + '<office:document-meta xmlns:office="%soffice:1.0" xmlns:dc="http://purl.org/dc/elements/1.1/" office:version="1.2"><office:meta><dc:title>Tour in March</dc:title></office:meta></office:document-meta>' % ns),
                 ("META-INF/manifest.xml", manifest)])


# --- notebook, mail

def notebook(source):
    cells, n = [], 0
    for i, (kind, src, *out) in enumerate(runpy.run_path(str(SRC / source))["CELLS"]):
        cell = {"cell_type": kind, "id": "cell-%02d" % i, "metadata": {}, "source": src.splitlines(keepends=True)}
        if kind == "code":
            n += 1
            cell |= {"execution_count": n, "outputs": [{"name": "stdout", "output_type": "stream", "text": out[0].splitlines(keepends=True)}]}
        cells.append(cell)
    return json.dumps({"cells": cells, "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                       "language_info": {"name": "python", "version": "3.11.2"}}, "nbformat": 4, "nbformat_minor": 5},
                      indent=1, ensure_ascii=False).encode() + b"\n"


def header(value):
    def word(m):
        q = "".join("_" if b == 32 else chr(b) if chr(b).isalnum() and b < 128 else "=%02X" % b for b in m[0].encode())
        return "=?utf-8?Q?%s?=" % q
    return value if value.isascii() else re.sub(r"[^<>]*[^<>\x00-\x7f][^<>]*[^<> ]", word, value)


def eml(source):
    m = runpy.run_path(str(SRC / source))
    paragraphs = m["TEXT"].strip().split("\n\n")
    page = ('<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"><style>p.MsoNormal{margin:0 0 8pt 0;font-family:Calibri}</style></head>'
            '<body lang="EN-GB"><div class="WordSection1">'
            + "".join('<p class="MsoNormal">%s<o:p></o:p></p>\n' % html.escape(p, quote=False).replace("\n", "<br>") for p in paragraphs)
            + '<p class="MsoNormal"><a href="https://kontrapunkt-trykk.example">kontrapunkt-trykk.example</a></p></div></body></html>\n')
    mark = "----=_NextPart_000_0041_01D94D16.7A3C5B20"
    out = ["%s: %s" % (k, header(v)) for k, v in m["HEADERS"]]
    out += ["MIME-Version: 1.0", 'Content-Type: multipart/alternative;\n\tboundary="%s"' % mark, "X-Mailer: Microsoft Outlook 16.0", "",
            "This is a multipart message in MIME format.", ""]
    for kind, body in (("plain", m["TEXT"]), ("html", page)):
        out += ["--" + mark, 'Content-Type: text/%s;\n\tcharset="utf-8"' % kind, "Content-Transfer-Encoding: quoted-printable", "",
                quopri.encodestring(body.encode()).decode("ascii")]
    out += ["--" + mark + "--", ""]
    return "\n".join(out).replace("\n", "\r\n").encode("ascii")


def mbox(source):
    out = []
    for sender, day, ident, answers, subject, body in runpy.run_path(str(SRC / source))["MAILS"]:
        d = day.replace(",", "").split()
        out.append("From %s %s %s %2d %s %s\n" % (re.search("<(.*)>", sender)[1], d[0], d[2], int(d[1]), d[4], d[3]))
        out.append("From: %s\nTo: crew@lists.radiocroft.example\nSubject: %s\nDate: %s\nMessage-ID: %s\n" % (sender, subject, day, ident))
        if answers:
            out.append("In-Reply-To: %s\nReferences: %s\n" % (answers, answers))
        out.append("MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n")
        out.append(re.sub(r"(?m)^(>*From )", r">\1", body) + "\n")
    return "".join(out).encode("ascii")


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: (SRC / source).read_bytes() for source, name in PLAIN.items()}
    files |= {
        "wardens-book.epub": office("hut.epub.md", "epub", "--toc"),
        "inspection-report.pdf": pdf("inspection.ms"),
        "board-minutes.pdf": scan("scan.ms"),
        "blood-gas-procedure.docx": office("analyser.docx.md", "docx"),
        "dairy-rules.odt": office("statutes.odt.md", "odt"),
        "house-rules.rtf": rtf("houserules.rtf.txt"),
        "quarterly-review.pptx": office("review.pptx.md", "pptx", "--slide-level=2"),
        "seed-collection.xlsx": xlsx("seedbank.xlsx.txt"),
        "tour-budget.ods": ods("tour.ods.txt"),
        "stannery-bridge.ipynb": notebook("gauge.ipynb.py"),
        "quotation.eml": eml("order.eml.py"),
        "crew-list.mbox": mbox("list.mbox.py"),
        "bulletin-63.txt": text("cave.fr.txt").encode("iso-8859-1"),
        "handing-over.txt": b"\xff\xfe" + text("depot.txt").replace("\n", "\r\n").encode("utf-16-le"),
        "station-diary.txt.gz": gzip.compress(text("diary.txt").encode(), 9, mtime=0),
        "club-notes.zip": pack([("climbing-hall.txt", text("climbing.txt")), ("boat-house.txt", text("kayak.txt"))]),
        "agreement.pdf": pdf("salary.ms", "--static-aes-iv", "--encrypt", "--user-password=birkenau", "--owner-password=seraphina",
                             "--bits=128", "--use-aes=y", "--"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    print(len(files), "files,", sum(map(len, files.values())), "bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
