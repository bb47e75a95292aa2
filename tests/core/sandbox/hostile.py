"""Hostile programs: what each tries, how it may end, and whether trying works without a sandbox.

Each prints ESCAPED and what it got if it gets anywhere; the test looks from outside too. Programs
find in their arguments a file, ports, sockets and the number of the process that runs them. With a
`control` the program also runs bare, where it must escape, or its own detection would be broken:
"anyone" for whoever runs the tests, "root" where it takes root. The others would do harm there.
"""

from typing import Literal, NamedTuple

START = """
import ctypes, errno, json, os, shutil, signal, socket, stat, subprocess, sys, threading, time
canary, tcp, udp, unix, abstract, parent = sys.argv[1:7]
tcp, udp, parent = int(tcp), int(udp), int(parent)
libc = ctypes.CDLL(None, use_errno=True)
boxed = os.path.exists("main.py")
print("space", os.stat("/proc/self/ns/pid").st_ino, flush=True)

def escaped(what):
    print("ESCAPED", what, flush=True)

def attempt(action):
    try:
        result = action()
    except (OSError, ValueError, RuntimeError):
        return None
    return True if result is None else result

def fork():
    try:
        return os.fork()
    except OSError:
        return -1

"""


class Hostile(NamedTuple):
    """A program, how it may end, and who could do the same without a sandbox."""

    name: str
    program: str
    ends: tuple[str, ...] = ("ok",)
    control: Literal["", "anyone", "root"] = ""


PROGRAMS = (
    # The caller's files and secrets
    Hostile("reads the caller's file", """
if attempt(lambda: open(canary).read()):
    escaped("a file")
""", control="anyone"),
    Hostile("lists the caller's folder", """
if attempt(lambda: os.listdir(os.path.dirname(canary))):
    escaped("a folder")
""", control="anyone"),
    Hostile("reads the passwords", """
for name in ("/etc/shadow", "/etc/passwd", "/etc/ssh"):
    if attempt(lambda: open(name).read() if os.path.isfile(name) else os.listdir(name)):
        escaped(name)
""", control="anyone"),
    Hostile("searches the homes", """
for home in ("/root", "/home"):
    for folder, _, files in os.walk(home):
        if files and not folder.startswith((sys.prefix, sys.base_prefix)):
            escaped(folder)
            break
"""),
    Hostile("reads the environment's secrets", """
for number in ["self", *filter(str.isdigit, os.listdir("/proc"))]:
    text = attempt(lambda: open(f"/proc/{number}/environ").read())
    if isinstance(text, str) and "GROUNDUP_SECRET" in text:
        escaped(number)
if "GROUNDUP_SECRET" in os.environ:
    escaped("os.environ")
""", control="anyone"),
    Hostile("looks through the first process", """
for way in ("root", "cwd"):
    if attempt(lambda: open(f"/proc/1/{way}{canary}").read()):
        escaped(way)
for name in ("mem", "maps", "environ"):
    if attempt(lambda: open(f"/proc/1/{name}", "rb+" if name == "mem" else "rb").read(1)):
        escaped(name)
"""),
    Hostile("follows links out", """
os.symlink(canary, "file"); os.symlink("/", "root"); os.symlink("/proc/self/cwd/..", "above")
for path in ("file", "root" + canary, "above/.." + canary, "root/proc/1/root" + canary):
    if attempt(lambda: open(path).read()):
        escaped(path)
if attempt(lambda: os.link(canary, "hard")):
    escaped("a hard link")
""", control="anyone"),
    Hostile("finds open files left over", """
for name in os.listdir("/proc/self/fd"):
    place = attempt(lambda: os.readlink(f"/proc/self/fd/{name}"))
    if int(name) > 2 and place and not place.startswith("/proc/"):
        escaped(place)
"""),
    Hostile("opens files by handle", """
handle = ctypes.create_string_buffer(b"\\x08\\0\\0\\0\\x01\\0\\0\\0\\x02\\0\\0\\0\\0\\0\\0\\0", 128)
if libc.open_by_handle_at(os.open("/", os.O_RDONLY), handle, os.O_RDONLY) >= 0:
    escaped("the root by its handle")
if ctypes.get_errno() != errno.EPERM:
    escaped("not filtered")
"""),
    # Writing and deleting
    Hostile("writes to the caller's file", """
for path in (canary, canary + ".new"):
    if attempt(lambda: open(path, "a").write("was here")):
        escaped(path)
""", control="anyone"),
    Hostile("writes to the system", """
lib = os.path.dirname(os.__file__)
for folder in ("/", "/usr", "/usr/bin", "/etc", "/dev", "/lib", "/work", "/root", "/home", lib,
               os.path.dirname(sys.executable), "/proc", "/proc/sys/kernel"):
    if attempt(lambda: open(f"{folder}/written", "w").close()):
        escaped(folder)
for file in (sys.executable, os.__file__, "/inside.py"):
    if attempt(lambda: open(file, "r+").close()) or attempt(lambda: os.unlink(file)):
        escaped(file)
"""),
    Hostile("deletes everything", """
library = os.path.dirname(json.__file__)
for folder in ("/tmp", "/dev", "/etc", "/root", "/home", "/usr/sbin", library):
    shutil.rmtree(folder, ignore_errors=True)
if not all(map(os.path.exists, ("/usr/sbin", "/dev/null", json.__file__, os.__file__))):
    escaped("deleted")
"""),
    Hostile("turns knobs of the kernel", """
for file, text in {"/proc/sys/kernel/core_pattern": "|/tmp/x", "/proc/sysrq-trigger": "h",
                   "/proc/self/oom_score_adj": "-1000", "/proc/sys/vm/overcommit_memory": "1",
                   "/proc/sys/kernel/hostname": "x", "/proc/self/uid_map": "0 0 1"}.items():
    if attempt(lambda: open(file, "w").write(text)) and attempt(lambda: open(file).read()) == text:
        escaped(file)
"""),
    # The network
    Hostile("dials out by TCP", """
if attempt(lambda: socket.create_connection(("127.0.0.1", tcp), 1).send(b"secret")):
    escaped("TCP")
""", control="anyone"),
    Hostile("dials out by UDP", """
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
attempt(lambda: sender.sendto(b"secret", ("127.0.0.1", udp)))  # who listens knows
""", control="anyone"),
    Hostile("dials addresses of the world", """
for family, address in ((2, ("1.1.1.1", 53)), (2, ("169.254.169.254", 80)), (2, ("10.0.0.1", 22)),
                        (10, ("2606:4700:4700::1111", 53)), (10, ("::1", tcp))):
    dialer = socket.socket(family, socket.SOCK_STREAM); dialer.settimeout(0.5)
    if attempt(lambda: dialer.connect(address)):
        escaped(address)
"""),
    Hostile("asks for a name", """
if attempt(lambda: socket.getaddrinfo("example.com", 80)):
    escaped("DNS")
"""),
    Hostile("dials a Unix socket", """
if attempt(lambda: socket.socket(socket.AF_UNIX).connect(unix)):
    escaped("a Unix socket")
""", control="anyone"),
    Hostile("dials an abstract socket", """
if attempt(lambda: socket.socket(socket.AF_UNIX).connect("\\0" + abstract)):
    escaped("an abstract socket")
""", control="anyone"),
    Hostile("asks the kernel about networks", """
if attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)):
    escaped("netlink")
""", control="anyone"),
    Hostile("opens odd sockets", """
for family, kind in ((40, 1), (17, 3), (38, 5), (31, 3), (16, 3), (29, 3), (21, 5), (44, 3)):
    if attempt(lambda: socket.socket(family, kind)):
        escaped(f"family {family}")
for kind in (socket.IPPROTO_ICMP, socket.IPPROTO_RAW):
    if attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, kind)):
        escaped("a raw socket")
"""),
    # Other processes
    Hostile("signals its parent", """
if attempt(lambda: os.kill(parent, 0)):
    escaped("the parent")
""", control="anyone"),
    Hostile("kills all", """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
attempt(lambda: os.kill(-1, signal.SIGTERM)); attempt(lambda: os.kill(-1, signal.SIGKILL))
attempt(lambda: os.kill(1, signal.SIGKILL)); attempt(lambda: os.killpg(0, signal.SIGTERM))
""", ("ok", "killed")),
    Hostile("traces", """
if libc.ptrace(0, 0, 0, 0) == 0:
    escaped("PTRACE_TRACEME")
for number in (1, parent) if boxed else ():
    if libc.ptrace(16, number, 0, 0) == 0:
        escaped(number)
""", control="anyone"),
    Hostile("reads another process's memory", """
here = ctypes.create_string_buffer(8)
pair = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)
if libc.process_vm_readv(os.getpid(), pair, 1, pair, 1, 0) >= 0:
    escaped("process_vm_readv")
""", control="anyone"),
    Hostile("rewrites its own code", """
with open("/proc/self/maps") as maps:
    start = next(int(row.split("-")[0], 16) for row in maps if " r--p " in row and ".so" in row)
memory = os.open("/proc/self/mem", os.O_RDWR)
attempt(lambda: os.pwrite(memory, os.pread(memory, 8, start), start))
if attempt(lambda: os.open("/proc/1/mem", os.O_RDWR)):
    escaped("the first process's memory")
"""),
    Hostile("stops itself", """
os.kill(os.getpid(), signal.SIGSTOP)
""", ("timeout",)),
    # Rights
    Hostile("mounts", """
os.mkdir("there")
for source, kind, flags in ((b"tmpfs", b"tmpfs", 0), (b"proc", b"proc", 0), (b"/usr", None, 4096),
                            (b"/dev/vda", b"ext4", 0)):
    if libc.mount(source, b"there", kind, flags, None) == 0:
        escaped(source)
if libc.mount(None, b"/usr", None, 32 | 4096, None) == 0:
    escaped("/usr writable")
if libc.umount2(b"/proc", 2) == 0 or libc.umount2(b"/tmp", 2) == 0:
    escaped("unmounted")
"""),
    Hostile("makes namespaces", """
for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x10000000 | 0x20000):
    if libc.unshare(flag) == 0:
        escaped(hex(flag))
clone = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
for flag in (0x10000000, 0x40000000):
    if (child := libc.syscall(clone, flag | 17, 0, 0, 0, 0)) == 0:
        os._exit(0)
    if child > 0:
        escaped("clone " + hex(flag))
clone3 = libc.syscall(435, ctypes.create_string_buffer(88), 88)
if clone3 >= 0 or ctypes.get_errno() != errno.ENOSYS:
    escaped("clone3")
if libc.setns(0, 0) == 0 or ctypes.get_errno() != errno.EPERM:
    escaped("setns")
"""),
    Hostile("leaves through chroot", """
os.makedirs("cell", exist_ok=True)
if attempt(lambda: os.chroot("cell")):
    for _ in range(64):
        os.chdir("..")
    attempt(lambda: os.chroot("."))
    escaped(os.listdir("."))
""", control="root"),
    Hostile("becomes root", """
for action in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.setresuid(0, 0, 0),
               lambda: os.setgid(0)):
    attempt(action)
shutil.copy("/usr/bin/id", "id"); attempt(lambda: os.chmod("id", 0o6755))
for command in (["/usr/bin/su", "-c", "id"], ["/usr/bin/sudo", "-n", "id"], ["./id"]):
    ran = attempt(lambda: subprocess.run(command, stdin=-3, capture_output=True, text=True).stdout)
    if isinstance(ran, str) and "uid=0" in ran and os.getuid() != 0:
        escaped(command)
with open("/proc/self/status") as text:
    if any(row.startswith(("CapEff", "CapPrm")) and int(row.split()[1], 16) for row in text):
        escaped("capabilities")
"""),
    Hostile("makes devices", """
for kind, device in ((stat.S_IFBLK, (8, 0)), (stat.S_IFBLK, (254, 0)), (stat.S_IFCHR, (1, 1))):
    if attempt(lambda: os.mknod("device", kind | 0o600, os.makedev(*device))):
        escaped(device)
for name in ("mem", "kmsg", "kvm", "fuse", "vda", "sda", "net/tun", "vsock", "ptmx", "tty"):
    if os.path.exists(f"/dev/{name}"):
        escaped(name)
"""),
    Hostile("raises its limits", """
import resource
for name in ("RLIMIT_NPROC", "RLIMIT_AS", "RLIMIT_NOFILE", "RLIMIT_CPU", "RLIMIT_FSIZE"):
    limit = getattr(resource, name)
    if attempt(lambda: resource.setrlimit(limit, (resource.RLIM_INFINITY,) * 2)):
        escaped(name)
if attempt(lambda: os.nice(-10)):
    escaped("nice")
"""),
    Hostile("asks for what reaches deep into the kernel", """
calls = {"x86_64": (321, 298, 323, 425, 248, 250, 246, 320, 175, 313, 319, 135, 272, 300, 103),
         "aarch64": (280, 241, 282, 425, 217, 219, 104, 294, 105, 273, 279, 92, 97, 262, 116)}
for number in calls[os.uname().machine]:
    if libc.syscall(number, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != errno.EPERM:
        escaped(f"call {number}: {errno.errorcode.get(ctypes.get_errno())}")
"""),
    Hostile("calls by the other table", """
libc.syscall(0x40000000 | 39)
escaped("x32")
""", ("killed",)),
    Hostile("sets clock and name", """
for action in (lambda: time.clock_settime(time.CLOCK_REALTIME, 0), lambda: socket.sethostname("x")):
    if attempt(action):
        escaped("set")
"""),
    Hostile("types into the terminal", """
import fcntl
for number in (0, 1, 2, attempt(lambda: os.open("/dev/tty", os.O_RDWR))):
    for request in (0x5412, 0x541C):
        if number is not None and attempt(lambda: fcntl.ioctl(number, request, b"x")):
            escaped("TIOCSTI")
"""),
    Hostile("finds the control groups", """
if os.path.exists("/sys/fs/cgroup") or os.path.exists("/sys/kernel"):
    escaped("/sys")
""", control="anyone"),
    # Using everything up
    Hostile("fork bomb", """
while True:
    attempt(os.fork)
""", ("timeout", "killed", "memory")),
    Hostile("counts its children", """
children = 0
while children < 200 and (child := fork()) >= 0:
    if child == 0:
        signal.pause()
    children += 1
if children >= 32:
    escaped(f"{children} children")
"""),
    Hostile("thread bomb", """
threads = 0
def start():
    threading.Thread(target=time.sleep, args=[9], daemon=True).start()

while threads < 200 and attempt(start):
    threads += 1
if threads >= 32:
    escaped(f"{threads} threads")
os._exit(0)
"""),
    Hostile("memory bomb", """
kept = []
while True:
    kept.append(bytearray(16 * 2**20))
""", ("memory",)),
    Hostile("memory of many processes", """
for _ in range(4):
    if fork() == 0:
        break
kept = bytearray(160 * 2**20)
kept[:: 4096] = b"x" * len(kept[:: 4096])
time.sleep(9)
""", ("memory",)),
    Hostile("memory shared by many", """
import mmap
for _ in range(8):
    if fork() == 0:
        break
with open("one", "a+b") as file:
    os.truncate(file.fileno(), 48 * 2**20)
    kept = mmap.mmap(file.fileno(), 48 * 2**20)
for place in range(0, len(kept), 4096):
    kept[place] = 1
time.sleep(9)
""", ("memory",)),
    Hostile("shared memory that it let go", """
import mmap
for file in (-1, attempt(lambda: os.open("/dev/zero", os.O_RDWR)) or -1):
    kept = attempt(lambda: mmap.mmap(file, 2**20))
    if kept:
        kept[:] = b"x" * len(kept)
        kept.madvise(mmap.MADV_DONTNEED)
        escaped("memory that is in no count")
""", control="anyone"),
    Hostile("memory in sockets", """
def fill(kind):
    kept = []
    while True:
        pair = socket.socketpair(socket.AF_UNIX, kind)
        for one in pair:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**24)
            one.setblocking(False)
            while attempt(lambda: one.send(b"x" * 65536)):
                pass
        kept.append(pair)

for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET) * 8:
    if fork() == 0:
        attempt(lambda: fill(kind))
        time.sleep(60)
        os._exit(0)
time.sleep(60)
""", ("memory",)),
    Hostile("memory in datagrams whose senders are gone", """
kept = []
for number in range(100):
    kept.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    kept[-1].bind(str(number))
    for _ in range(12):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            attempt(lambda: sender.sendto(b"x" * 150_000, str(number)))
time.sleep(60)
""", ("memory",)),
    Hostile("memory in connections", """
socket.socket().close()
server = attempt(lambda: socket.create_server(("127.0.0.1", 0)))
kept = []
while server:
    one = socket.create_connection(server.getsockname())
    one.setblocking(False)
    while attempt(lambda: one.send(b"x" * 65536)):
        pass
    kept += [one, server.accept()]
""", ("memory", "failed", "ok")),
    Hostile("sockets that nobody counts", """
wanted = [(2, 1, 262), (2, 5, 0), (10, 5, 0), (2, 2, 1), (2, 2, 136), (30, 1, 0)]
for family, kind, protocol in wanted:
    if attempt(lambda: socket.socket(family, kind, protocol)):
        escaped((family, kind, protocol))
""", control="anyone"),
    Hostile("pages in a pipe", """
page, (read, write) = ctypes.create_string_buffer(4096), os.pipe()
piece = (ctypes.c_size_t * 2)(ctypes.addressof(page), 4096)
if boxed and libc.vmsplice(write, piece, 1, 0) > 0:
    escaped("pages that outlive their process")
"""),
    Hostile("memory of no process", """
if attempt(lambda: os.memfd_create("x")):
    escaped("memfd")
""", control="anyone"),
    Hostile("shared memory and queues of System V", """
if (number := libc.shmget(0, 4096, 0o1600)) >= 0:
    libc.shmctl(number, 0, None)
    escaped("shmget")
if boxed and (libc.msgget(0, 0o1600) >= 0 or libc.semget(0, 1, 0o1600) >= 0):
    escaped("msgget or semget")
""", control="anyone"),
    Hostile("disk bomb", """
for number in range(99):
    for folder in (".", "/tmp", "/dev/shm", "/var/tmp"):
        name = f"{folder}/{folder.count('/')}{len(folder)}.{number}"
        file = attempt(lambda: open(name, "wb", buffering=0))
        while file and attempt(lambda: file.write(bytes(2**20))):
            pass
size = sum(os.stat(name).st_size for name in os.listdir("."))
if size > 65 * 2**20:
    escaped(f"{size} bytes")
"""),
    Hostile("one endless file", """
file = open("big", "wb", buffering=0)
for action in (lambda: file.truncate(2**40), lambda: os.posix_fallocate(file.fileno(), 0, 2**38)):
    if attempt(action):
        escaped("a terabyte")
"""),
    Hostile("a file for each number", """
number = 0
while True:
    os.close(os.open(str(number), os.O_CREAT)); number += 1
""", ("file_limit",)),
    Hostile("folders within folders", """
while True:
    os.mkdir("d"); os.chdir("d")
""", ("file_limit",)),
    Hostile("opens 100,000 files", """
kept = []
while len(kept) < 100_000 and (file := attempt(lambda: open("/dev/null"))):
    kept.append(file)
if len(kept) > 128:
    escaped(f"{len(kept)} files")
"""),
    Hostile("loops", """
while True:
    pass
""", ("timeout",)),
    Hostile("sleeps and hears nothing", """
for number in range(1, 65):
    attempt(lambda: signal.signal(number, signal.SIG_IGN))
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
time.sleep(999)
""", ("timeout",)),
    Hostile("burns all processors", """
for _ in range(8):
    fork()
while True:
    pass
""", ("timeout",)),
    Hostile("floods stdout", """
while True:
    os.write(1, b"x" * 65536)
""", ("output_limit",)),
    Hostile("floods stderr", """
while True:
    os.write(2, b"x" * 65536)
""", ("output_limit",)),
    Hostile("prints what is no text", """
os.write(1, bytes(range(256)) + b"\\x1b]0;title\\x07" + "\\ud800".encode("utf-8", "surrogatepass"))
"""),
    # Staying behind
    Hostile("daemon", """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.closerange(0, 128)
        time.sleep(999)
    os._exit(0)
"""),
    Hostile("child that holds the output", """
if os.fork() == 0:
    os.setsid()
    time.sleep(999)
"""),
    Hostile("child that hides", """
if os.fork() == 0:
    libc.prctl(4, 0, 0, 0, 0)  # not dumpable: its /proc entries are closed
    libc.prctl(15, b"kworker/0:1", 0, 0, 0)
    time.sleep(999)
"""),
    Hostile("closes everything and waits", """
os.closerange(0, 1024)
while True:
    time.sleep(999)
""", ("timeout",)),
    # Odd ends
    Hostile("crashes", """
ctypes.string_at(0)
""", ("killed",)),
    Hostile("aborts for a core dump", """
import resource
attempt(lambda: resource.setrlimit(resource.RLIMIT_CORE, (2**20, 2**20)))
if os.fork() == 0:
    os.abort()
os.wait()
if any("core" in name for name in os.listdir(".")):
    escaped("a core")
os.abort()
""", ("killed",)),
    Hostile("recurses", """
sys.setrecursionlimit(10**9)
def down(): return [down()]
down()
""", ("killed", "failed", "memory", "timeout")),
    Hostile("a huge number", """
9 ** 9 ** 9 ** 9
""", ("timeout", "memory")),
    Hostile("ends with 256", "os._exit(256 + 3)", ("failed",)),
    Hostile("ends as if killed", "os._exit(137)", ("killed",)),
    Hostile("is not Python", "this is no program", ("failed",)),
)  # fmt: skip
