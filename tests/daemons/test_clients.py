# SPDX-License-Identifier: Apache-2.0
"""A day's work in a terminal: shells, git, packages, archives, compilers, one-liners. Each session is
a script of a shell, run in an empty directory; what it prints must be what it prints bare."""
from stage import free_port, harness, main, part

SHELL = r"""
trap 'echo trapped $?' EXIT
umask; cd /; pwd; cd "$OLDPWD"
for number in 1 2 3; do echo "line $number"; done | while read -r word; do echo "<$word>"; done
exec 3>third; echo three >&3; exec 3>&-; cat third; exec 9<third; read -r word <&9; echo $word
(echo inner; exit 4); echo $?; echo "$(echo a | tr a b)" `echo c`
cat <<END | sort -r | head -2
$HOME
one
END
sleep 30 & kill $!; wait $! 2>/dev/null; echo $?
sh -c 'kill -SEGV $$' 2>/dev/null; echo $?
{ echo out; echo err >&2; } 2>&1 | cat; false | true; echo $?
ls -l /proc/self/fd | wc -l; ulimit -n; ulimit -u 0; true; cat /nonexistent
printf '%s\n' a b c >list; while read -r each; do echo $each; done <list; wc -c <list
trap 'echo usr1' USR1; kill -USR1 $$; set -- x y; shift; echo $# $1; test -x /bin/sh && echo yes
mkfifo pipe; (echo through >pipe &); cat pipe; env | grep -v ^LD_PRELOAD= | grep -c =; exit 3
"""
BASH = SHELL.replace("trap 'echo usr1'", r"""
coproc cat; echo co >&"${COPROC[1]}"; read -r word <&"${COPROC[0]}"; echo $word; kill $COPROC_PID
diff <(echo a) <(echo b); array=(x y z); echo ${array[@]:1} ${#array[@]}; time -p true 2>/dev/null
exec {fd}>late; echo $((fd >= 10)); trap 'echo usr1'""")
GIT = r"""
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init -q -b main --bare origin.git; git clone -q origin.git one 2>&1; cd one
seq 1000 >file; git add file; git commit -qm first; git push -q origin main; git log --format=%H
git checkout -qb side; echo more >>file; git commit -qam second; git diff main --stat
git checkout -q main; git merge --no-edit -q side; git gc -q; git fsck 2>&1; git rebase -q main
cd ..; git clone -q file://$PWD/origin.git two 2>&1; cd two; git pull -q; git rev-parse HEAD
git --exec-path >/dev/null; git -C ../one push -q origin side; git fetch 2>&1; git branch -r
cd ..; git daemon --reuseaddr --export-all --base-path=$PWD --listen=127.0.0.1 --port=$PORT \
    --pid-file=$PWD/pid & until git clone -q git://127.0.0.1:$PORT/origin.git three 2>/dev/null
do sleep 0.05; done; git -C three rev-parse HEAD; kill $!; wait $! 2>/dev/null; echo $?
"""
ARCHIVES = r"""
mkdir -p tree/a; seq 5000 >tree/a/numbers; ln -s a/numbers tree/link; echo x >tree/'name with space'
tar -cf - tree | tar -tvf - | wc -l; tar -czf tree.tar.gz --mtime=@0 --sort=name tree; mkdir out
tar -xzf tree.tar.gz -C out; diff -r tree out/tree && echo same; gzip -t tree.tar.gz && echo whole
tar -cJf tree.tar.xz tree; tar -tJf tree.tar.xz | sort; bzip2 <tree/a/numbers | bunzip2 | md5sum
cp -a tree copy; rm -r copy; find tree -type f -print0 | xargs -0 md5sum | sort; du -s tree | cut -f2
gzip -c tree/a/numbers | head -c 100 >cut.gz; gzip -dc cut.gz >/dev/null; echo $?
find tree | cpio -o 2>/dev/null | md5sum >/dev/null; split -b 1000 tree/a/numbers part; cat part* | md5sum
"""
BUILD = r"""
cat >main.c <<'END'
#include <stdio.h>
int add(int, int);
int main(int argc, char **argv) { printf("%d %s\n", add(argc, 2), __FILE__); return argc - 1; }
END
echo 'int add(int a, int b) { return a + b; }' >add.c; echo 'int add(' >wrong.c
printf 'all: program\nprogram: main.o add.o\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -g -O2 -c $<\n' >Makefile
make -j2 | sort; ./program; ./program x; echo $?; make; gcc -c wrong.c; echo $?; gcc -E add.c | tail -1
gcc -O2 -pipe -o piped main.c add.c -lm && ./piped; ar rcs libadd.a add.o; nm libadd.a; strip program
gcc -shared -fPIC -o libadd.so add.c; gcc -o dynamic main.c -L. -ladd; LD_LIBRARY_PATH=. ./dynamic
ldd dynamic | wc -l | grep -c .; objdump -d add.o | grep -c ret; make -n -B | wc -l
"""
ONE_LINERS = r"""
perl -e 'print join(",", map { $_ * 2 } 1..5), "\n"; open my $p, "-|", "echo from child"; print <$p>; exit 3'; echo $?
perl -e 'for (3..200) { POSIX::close($_) if 0 } use POSIX; POSIX::close($_) for 3..200; print `echo ok`; if (!fork) { exit 5 } wait; print $?>>8, "\n"'
python3 -c 'import subprocess, os; print(subprocess.run(["sh", "-c", "exit 6"]).returncode, subprocess.check_output("echo x", shell=True)); os.closerange(3, 300); os.execlp("echo", "echo", "replaced")'
python3 -c 'import multiprocessing as m; print(m.Pool(2).map(abs, [-1, -2, -3]))'
python3 -c 'import pty; pty.spawn(["echo", "on a terminal"])' | cat -v
awk 'BEGIN { "echo awk" | getline word; print word; print "sorted" | "sort"; exit 2 }'; echo $?
sed -n '$=' /etc/passwd >/dev/null; bc <<<'2^100' 2>/dev/null || echo '2^100' | bc; xargs -n1 -P4 echo <<END | sort
a b c d
END
find /etc/init.d -name 'cro*' -exec basename {} \; | wc -l >/dev/null; nohup true; setsid true; nice -n 5 true
timeout 0.2 sleep 9; echo $?; env -i /bin/echo bare; script -qec 'echo typed; exit 9' /dev/null; echo $?
dd if=/dev/zero bs=1k count=3 status=none | od -A n -t x1 | sort -u; date -ud @0; seq 3 | paste -sd+ | bc
strace -qqe trace=none true; gdb -batch -nx -ex 'print 1 + 1' 2>/dev/null; sqlite3 :memory: 'select 1 + 1'
"""
RUBY = r"""
ruby -e 'puts [1, 2].sum; puts `echo child`; pid = fork { exit 4 }; Process.wait pid; puts $?.exitstatus
r, w = IO.pipe; spawn("echo spawned", out: w); w.close; puts r.read; Thread.new { puts :thread }.join'
"""
NODE = r"""
node -e 'const { execSync, spawn } = require("child_process"); process.stdout.write(execSync("echo child"));
spawn("sh", ["-c", "exit 7"]).on("exit", code => { console.log(code);
new (require("worker_threads").Worker)("console.log(42)", { eval: true }); });'
node -e 'process.exitCode = 3; require("fs").promises.readFile("/etc/hostname").then(x => console.log(x.length > 0))'; echo $?
"""
JAVA = r"""
cat >Main.java <<'END'
public class Main {
    public static void main(String[] words) throws Exception {
        var child = new ProcessBuilder("sh", "-c", "echo child; exit 8").inheritIO().start();
        System.out.println(child.waitFor());
        var pool = java.util.concurrent.Executors.newFixedThreadPool(4);
        for (int i = 0; i < 4; i++) pool.submit(() -> 1).get();
        pool.shutdown();
        System.exit(9);
    }
}
END
java Main.java; echo $?; java -Djdk.lang.Process.launchMechanism=VFORK Main.java; echo $?
"""
USERS = r"""
sudo -u nobody id -un; sudo -n true; echo $?; sudo -u nobody sh -c 'echo $USER; exit 5'; echo $?
su nobody -s /bin/sh -c 'id -un; exit 6'; echo $?; su -s /bin/sh - nobody -c 'id -un; pwd' 2>/dev/null
setpriv --reuid nobody --regid nogroup --clear-groups id -un; runuser -u nobody -- id -gn
setpriv --no-new-privs --bounding-set -all --inh-caps -all id -u; unshare -m true; echo $?
unshare -Ur id -u; unshare -pf --mount-proc sh -c 'echo $$'; chroot / id -un; getent passwd root; su --version | wc -l
"""
PACKAGES = r"""
mkdir -p root/DEBIAN root/usr/share/ours; echo file >root/usr/share/ours/file
printf 'Package: ours\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n' >root/DEBIAN/control
printf '#!/bin/sh\necho configured >$DPKG_ROOT/configured\n' >root/DEBIAN/postinst; chmod 755 root/DEBIAN/postinst
dpkg-deb --root-owner-group -b root ours.deb; dpkg-deb -I ours.deb | grep Package; dpkg-deb -c ours.deb | wc -l
mkdir -p inst admin/updates admin/info; : >admin/status; : >admin/available
dpkg --admindir=$PWD/admin --instdir=$PWD/inst --force-script-chrootless --log=/dev/null -i ours.deb
cat inst/usr/share/ours/file inst/configured; dpkg --admindir=$PWD/admin -l ours | tail -1
dpkg --admindir=$PWD/admin --instdir=$PWD/inst --force-script-chrootless --log=/dev/null -P ours; ls inst
dpkg -S /bin/sh; dpkg-query -W -f '${Package}\n' dpkg; apt-cache show dpkg 2>/dev/null | grep -c ^Package | head -c 1
apt-get -s install dpkg 2>/dev/null | tail -1 | wc -l; apt-config dump | grep -c APT::Arch; dpkg --compare-versions 1 lt 2; echo $?
"""

SESSIONS = {  # name: (programs, command, script, quick)
    "dash": (["dash"], ["dash"], SHELL, True),
    "bash": (["bash"], ["bash"], BASH, True),
    "zsh": (["zsh"], ["zsh", "-f"], SHELL, True),
    "bash_login": (["bash"], ["bash", "-l"], BASH, False),
    "git": (["git"], ["sh"], GIT, True),
    "archives": (["tar", "gzip", "xz"], ["sh"], ARCHIVES, True),
    "build": (["gcc", "make"], ["sh"], BUILD, True),
    "one_liners": (["perl", "python3", "gdb", "bc"], ["bash"], ONE_LINERS, True),
    "ruby": (["ruby"], ["sh"], RUBY, False),
    "node": (["node"], ["sh"], NODE, False),
    "java": (["java"], ["sh"], JAVA, False),
    "users": (["sudo", "su", "setpriv"], ["sh"], USERS, True),
    "packages": (["dpkg-deb", "apt-get"], ["sh"], PACKAGES, True),
}


def session(name, command, script, port=None, pages=None):
    def play_it(play):
        home = play.make("work")
        where = play.write("script", "cd '%s'\n" % home + script)
        done = play.run([*command, where], PORT=str(port or free_port()), PAGES=str(pages),
                        TERM="dumb")
        # Every number counts in what is printed; complaints may name processes.
        printed = done.stdout.decode("utf-8", "replace").replace(play.directory, "DIR")
        for what, text in (("output", printed), ("errors", play.plain(done.stderr))):
            for line in text.splitlines():
                play.tell("%s: %s" % (what, line[:60]), line)
        play.tell("status", done.returncode)
        play.tell("it said something", len(done.stdout) > 10, True)
    play_it.__name__ = name
    return play_it


TRANSFERS = r"""
curl -sS http://127.0.0.1:$PORT/a http://127.0.0.1:$PORT/b; wget -qO- http://127.0.0.1:$PORT/c
perl -MHTTP::Tiny -e 'print HTTP::Tiny->new->get("http://127.0.0.1:$ENV{PORT}/d")->{content}'
python3 -c 'import os, urllib.request as u; print(u.urlopen("http://127.0.0.1:%s/e" % os.environ["PORT"]).read())'
curl -sS --data-binary @/etc/services http://127.0.0.1:$PORT/f; curl -sSI http://127.0.0.1:$PORT/g | head -1
git clone -q http://127.0.0.1:$PAGES/origin.git 2>&1; git -C origin log --format=%s
curl -sS http://127.0.0.1:1/; echo $?; wget -q http://127.0.0.1:1/; echo $?
"""


ORIGIN = """
git init -q seed; cd seed; export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z
git -c user.name=a -c user.email=a@b commit -qm first --allow-empty
git clone -q --bare . ../origin.git; cd ../origin.git; git update-server-info
"""


@part("curl", "wget", "perl", "git", quick=True)
def transfers(play):
    """Each request one CLIENT span; git's go to a server of pages that logs them."""
    play.command("sh", "-c", ORIGIN, what="an origin", traced=False)
    port, pages = play.backend(), free_port()
    server = play.start([harness.PYTHON, "-m", "http.server", "-b", "127.0.0.1", str(pages)],
                        traced=False, port=pages)
    session("transfers", ["sh"], TRANSFERS, port=port, pages=pages)(play)
    play.stop(server)
    play.relayed += play.stderr(server).count(b'"GET ') + 2  # the two that were refused


for session_name, (programs, words, text, quick) in SESSIONS.items():
    part(*programs, quick=quick)(session(session_name, words, text))


if __name__ == "__main__":
    main()
