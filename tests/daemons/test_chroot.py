# SPDX-License-Identifier: Apache-2.0
"""A system of its own with the library in /etc/ld.so.preload: every program that starts there has it,
whatever environment it was given and whoever it is. Only long, since debootstrap fetches a base."""
import atexit
import hashlib
import os
import shutil
import stat
import tempfile

from stage import LIBRARY, harness, main, part

PACKAGES = ["gcc", "libc6-dev", "make", "sudo", "cron"]
OURS = ("usr/lib/burdock", "etc/ld.so.preload", "var/lib/burdock")
# Times, addresses of caches, the order of chance: by name only.
BY_NAME = ("var/log", "var/cache", "var/lib/apt", "etc/ld.so.cache", "etc/shadow", "etc/shadow-",
           "root/program", "root/static", "var/lib/dpkg/status-old", "var/lib/dpkg/triggers")
ENTER = """
mount -t proc proc $0/proc && mount -t tmpfs tmpfs $0/dev/shm && mount -t devpts devpts $0/dev/pts &&
exec chroot $0 env -i HOME=/root TERM=dumb LC_ALL=C DEBIAN_FRONTEND=noninteractive \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
"""
LOGIN = r"""
id; pwd; umask; echo $-; env | grep -v -e ^SHLVL -e ^_= | sort; cat /proc/self/maps | wc -l | grep -c .
for each in 1 2 3; do echo $each; done | tac; (exit 3); echo $?; cat /nonexistent; echo $?
ls /proc/self/fd | wc -l; mkdir work; cd work; seq 100 >numbers; tar -czf - . | tar -tzf - | sort; cd ..
su nobody -s /bin/sh -c 'id -un; ls /proc/self/fd | wc -l'; su - nobody -s /bin/sh -c pwd
passwd -S root | cut -c1-6; useradd -m -s /bin/bash someone; su - someone -c 'id -un; mkdir x; ls'
echo 'someone ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/someone
su - someone -c 'sudo id -un; sudo -u nobody id -un; sudo sh -c "exit 7"; echo $?'
rm /etc/sudoers.d/someone; userdel -r someone; ls /home; mount | wc -l; (crontab -l; echo) 2>&1
echo '0 0 1 1 * true' | crontab -; crontab -l; crontab -r; chroot / true; echo $?
perl -e 'print "perl\n"; exit 5'; echo $?; env -i /usr/bin/env; exec 3>three; echo x >&3; cat three; rm three
script -qec 'tty; stty size; bash -lc "echo on a terminal; exit 4"' /dev/null; echo $?
dpkg -l | wc -l; dpkg -V dpkg; apt-cache policy make | head -1; find / -xdev -type f | wc -l | grep -c .
rm -r work; kill -TERM $$
"""
BUILD = r"""
cd /root; printf '#include <stdio.h>\nint main(void) { puts("built"); return 4; }\n' >main.c
printf 'program: main.o\n\tgcc -o $@ $^\n' >Makefile; make -j2; ./program; echo $?; make
gcc -static -o static main.c && ./static; echo $?; echo 'int wrong(' | gcc -fsyntax-only -x c -; echo $?
"""

_bases = []


def base(play):
    """A fresh system, fetched once, without what the machine itself has installed."""
    if not _bases:
        work = tempfile.mkdtemp(prefix="burdock-chroot-")
        atexit.register(shutil.rmtree, work, ignore_errors=True)
        with open("/etc/os-release") as file:
            codename = [line.strip().partition("=")[2] for line in file
                        if line.startswith("VERSION_CODENAME=")][0]
        done = play.run(["debootstrap", "--variant=minbase", codename, work + "/base"],
                        traced=False, timeout=900)
        if done.returncode != 0:
            raise RuntimeError("no base could be fetched: %r" % done.stdout[-500:])
        for name in ("etc/resolv.conf", "etc/hosts"):
            shutil.copy("/" + name, work + "/base/" + name)
        # What a machine tells apt about itself (proxies, clocks) holds here as well.
        shutil.copytree("/etc/apt/apt.conf.d", work + "/base/etc/apt/apt.conf.d", dirs_exist_ok=True)
        _bases.append(work)
    return _bases[0]


def contents(root):
    """{path: mode, owner, what is in it}: what the system has become."""
    found = {}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(directory, name)
            inside = os.path.relpath(path, root)
            if inside.startswith(OURS):
                continue
            facts = os.lstat(path)
            digest = ""
            if stat.S_ISREG(facts.st_mode) and not inside.startswith(BY_NAME):
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()[:16]
            found[inside] = "%o %d:%d %s" % (facts.st_mode, facts.st_uid, facts.st_gid, digest)
    return found


@part("debootstrap", "unshare", "chroot")
def preloaded_system(play):
    play.counts_spans = False
    root = os.path.join(base(play), "traced" if play.traced else "bare")
    play.run(["cp", "-a", base(play) + "/base", root], traced=False, timeout=300)
    os.mkdir(root + "/var/lib/burdock")
    os.chmod(root + "/var/lib/burdock", 0o1777)
    if play.traced:
        os.mkdir(root + "/usr/lib/burdock")
        shutil.copy(LIBRARY, root + "/usr/lib/burdock/libburdock.so")
        with open(root + "/etc/ld.so.preload", "w") as file:
            file.write("/usr/lib/burdock/libburdock.so\n")

    def enter(*command):
        return play.run(["unshare", "-m", "--propagation", "private", "sh", "-c", ENTER, root,
                         *command], traced=False, timeout=900)

    def inside(what, *command, but=None, exact=False, wanted=0):
        done = enter(*command)
        play.tell(what + ": status", done.returncode, wanted)
        for name, text in (("output", done.stdout), ("errors", done.stderr)):
            if exact:
                for line in text.decode("utf-8", "replace").splitlines():
                    play.tell("%s: %s" % (what, line[:60]), line)
            else:
                play.tell_lines("%s: %s" % (what, name), text, but=but)
    mapped = enter("grep", "-q", "libburdock", "/proc/self/maps").returncode == 0
    play.tell("programs have the library if they should", mapped == play.traced, True)
    inside("apt-get update", "apt-get", "-q", "update", but="^(Get|Hit|Fetched|Ign)")
    inside("apt-get install", "apt-get", "-qy", "--no-install-recommends", "install", *PACKAGES,
           but="^(Get|Fetched)|Reading database")
    for name, script in (("build", BUILD), ("login", LOGIN)):
        with open(root + "/root/" + name, "w") as file:
            file.write(script)
    inside("a build", "sh", "/root/build", exact=True)
    inside("a login shell", "su", "-", "root", "-c", "exec bash -l /root/login", exact=True,
           wanted=128 + 15)
    inside("apt-get remove", "apt-get", "-qy", "purge", "cron", but="Reading database")
    inside("apt-get clean", "apt-get", "clean")
    play.tell("what the system has become", sorted(contents(root).items()))
    spans = harness.otlp.spans_of_store(root + "/var/lib/burdock")
    seen = any(span.kind == "CLIENT" and span.service == "http" for span in spans)
    play.tell("apt's downloads are spans where they should be", seen == play.traced or spans, True)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
