# SPDX-License-Identifier: Apache-2.0
"""What runs on every machine: sshd with its clients, cron, rsyslog, postfix. No HTTP, no spans."""
import os
import pwd
import shutil
import signal
import smtplib
import socket

from stage import free_port, main, part

SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {run}/host
PidFile {run}/pid
AuthorizedKeysFile {run}/key.pub
StrictModes no
UsePAM yes
LogLevel VERBOSE
AcceptEnv WORD
Subsystem sftp /usr/lib/openssh/sftp-server
Banner {run}/{banner}
"""


@part("/usr/sbin/sshd", "ssh", "scp", "sftp", "ssh-keygen", quick=True)
def sshd(play):
    """Sandboxed, chrooted and re-executed for each connection."""
    port, run = free_port(), play.make("run")
    play.make("system/sshd", "log")
    for name in ("host", "key"):
        play.command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "%s/%s" % (run, name),
                     what="ssh-keygen " + name)
    for word in ("old", "new"):
        play.write("run/" + word, word + " banner\n")

    def configure(banner):
        return play.write("sshd.conf", SSHD.format(port=port, run=run, banner=banner))
    options = ["-F", "none", "-i", run + "/key", "-o", "StrictHostKeyChecking=no", "-o",
               "UserKnownHostsFile=" + run + "/known", "-o", "BatchMode=yes"]
    # Where it separates privileges and counts logins.
    server = play.alone([("system", "/run"), ("log", "/var/log")],
                        "/usr/sbin/sshd", "-D", "-e", "-f", configure("old"), port=port)

    def ssh(what, *words, **more):
        return play.command("ssh", *options, "-p", str(port), "root@127.0.0.1", *words, what=what,
                            **more)
    play.tell("a command", ssh("ssh", "echo there; cat", stdin=b"sent"), "there\nsent")
    ssh("a status", "exit 7", wanted=7)
    ssh("a terminal", "-tt", "tty; stty size")
    ssh("a login shell", "bash -lc 'echo $0 $-'")
    play.write("sent", b"\0\1\2" * 100000)
    play.command("scp", *options, "-P", str(port), play.path("sent"),
                 "root@127.0.0.1:" + play.path("came"), what="scp")
    play.tell("the copy is the same", play.read("came") == play.read("sent"), True)
    play.command("sftp", *options, "-P", str(port), "-b", "-", "root@127.0.0.1", what="sftp",
                 stdin=b"get %s %s\n" % (play.path("sent").encode(), play.path("got").encode()))
    play.tell("what was got is the same", play.read("got") == play.read("sent"), True)
    play.command("ssh", "-F", "none", "-o", "BatchMode=yes", "-i", "/dev/null", *options[4:],
                 "-p", str(port), "root@127.0.0.1", "true", what="a wrong key", wanted=255)
    play.tell_descriptors()
    configure("new")
    server.send_signal(signal.SIGHUP)
    play.until("SIGHUP: it listens again",
               lambda: play.stderr(server).count(b"Server listening on") == 2)
    ssh("SIGHUP: the new banner", "true")
    play.end(server, signal.SIGTERM, but="SHAN:|Close session")


@part("cron", "unshare")
def cron(play):
    """Its own jobs only; a minute passes before the first one runs."""
    play.make("tabs", "run", "cron.d")
    play.write("crontab", "")
    play.write("cron.d/job", "PATH=/usr/bin:/bin\nWORD=told\n"
               "* * * * * root echo $WORD $LOGNAME >>%s; cat /proc/self/stat | wc -l >>%s\n" %
               (play.path("done"), play.path("done")))
    server = play.alone([("tabs", "/var/spool/cron"), ("run", "/run"), ("cron.d", "/etc/cron.d"),
                          ("crontab", "/etc/crontab")], "cron", "-f")
    play.until("the job ran", lambda: play.read("done").count(b"\n") >= 2, 75)
    play.tell("and wrote", play.read("done").split(b"\n")[:2], [b"told root", b"1"])
    play.write("cron.d/job", "* * * * * root echo new >>%s\n" % play.path("new"))
    play.until("the changed job ran", lambda: play.read("new"), 75)
    play.tell_descriptors()
    play.end(server, signal.SIGTERM, -signal.SIGTERM)


@part("rsyslogd", "logger")
def rsyslog(play):
    port, run = free_port(), play.make("run")
    config = play.write("rsyslog.conf", """
global(workDirectory="%s" net.enableDNS="off")
module(load="imuxsock" SysSock.Use="off")
module(load="imtcp")
module(load="imudp")
input(type="imuxsock" Socket="%s/socket")
input(type="imtcp" port="%d" address="127.0.0.1")
input(type="imudp" port="%d" address="127.0.0.1")
template(name="short" type="string" string="%%syslogtag%%%%msg%%\\n")
action(type="omfile" file="%s/log" template="short")
""" % (run, run, port, port, run))
    server = play.start(["rsyslogd", "-n", "-f", config, "-i", run + "/pid"], port=port)

    def log(how, word):
        play.command("logger", "-t", "tag", *how, word, what="logger " + how[0])
        play.until("%s is logged" % word, lambda: word.encode() in play.read("run/log"))
    reach = ["-n", "127.0.0.1", "-P", str(port)]
    log(["-u", run + "/socket"], "by socket")
    log(["--tcp", *reach], "by TCP")
    log(["--udp", *reach], "by UDP")
    play.tell_descriptors()
    os.rename(run + "/log", run + "/log.1")
    server.send_signal(signal.SIGHUP)
    play.until("SIGHUP: there is a new log", lambda: os.path.exists(run + "/log") or play.run(
        ["logger", "-u", run + "/socket", "-t", "tag", "again"]) is None)
    log(["-u", run + "/socket"], "after rotation")
    play.end(server, signal.SIGTERM)
    play.tell_log("run/log.1", "by UDP", but="again")


POSTFIX = """
compatibility_level = 3.6
queue_directory = {run}/queue
data_directory = {run}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = loopback.test
mydestination = loopback.test
mynetworks = 127.0.0.0/8
local_recipient_maps =
alias_maps =
alias_database =
mail_spool_directory = {run}/mail/
maillog_file = {run}/log
maillog_file_prefixes = {run}
import_environment = MAIL_CONFIG LD_PRELOAD BURDOCK_DIR BURDOCK_STORE
export_environment = LD_PRELOAD BURDOCK_DIR BURDOCK_STORE
smtpd_banner = {banner}
"""
MASTER = """
{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
local unix - n n - - local
smtp unix - - n - - smtp
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
error unix - - n - - error
"""


@part("postfix", "postconf")
def postfix(play):
    port, run = free_port(), play.make("run")
    play.make("etc", "run/queue", "run/data", "run/mail")
    os.chmod(play.path("run/mail"), 0o1777)
    owner = pwd.getpwnam("postfix")
    os.chown(play.path("run/data"), owner.pw_uid, owner.pw_gid)
    play.write("etc/master.cf", MASTER.format(port="127.0.0.1:%d" % port))

    def configure(banner):
        play.write("etc/main.cf", POSTFIX.format(run=run, banner=banner))
    configure("old")
    control = ["postfix", "-c", play.path("etc")]
    server = play.start([*control, "start-fg"], port=port)

    def send(user, word):
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.sendmail("root@loopback.test", [user + "@loopback.test"],
                            "Subject: %s\r\n\r\n%s\r\n" % (word, word))

    def mail(user):
        where = play.path("run/mail/%s/new" % user)
        return b"".join(play.read("%s/%s" % (where, name)) for name in
                        (os.listdir(where) if os.path.isdir(where) else ()))
    send("root", "first")
    play.until("the mail came", lambda: b"Subject: first" in mail("root"))
    play.command(*control, "status", what="postfix status")
    configure("new")
    play.command(*control, "reload", what="postfix reload")

    def greeting():
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            return connection.recv(100)
    play.until("reload: the new banner", lambda: b"220 new" in greeting())
    play.command(*control, "logrotate", what="postfix logrotate")
    send("root", "second")
    play.until("rotation: it writes to a new log", lambda: b"status=sent" in play.read("run/log"))
    play.until("the second mail came", lambda: b"Subject: second" in mail("root"))
    play.command(*control, "stop", what="postfix stop")
    play.ended(server, "postfix stop", 128 + signal.SIGTERM)
    shutil.rmtree(run + "/mail")  # names of chance
    # The script that stops it tells postlogd, which the same stop ends, now before, now after it
    # wrote; and that it waits only if the master is still there at its first look.
    play.tell_log("run/log", "status=sent", but="(stopping|waiting for) the Postfix mail system")


if __name__ == "__main__":
    main()
