# SPDX-License-Identifier: Apache-2.0
"""Sources of Debian packages, fetched and built once under build/suites.

Nobody's lists of packages change: the machine's own entries are read as sources, in a directory of
ours, with lists of ours.
"""
import glob
import os
import re
import shutil
import subprocess

ENTRIES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list",
           "/etc/apt/sources.list.d/*.sources")


def as_sources(text):
    """An entry for binary packages, in either format (sources.list(5)), as one for sources."""
    text = re.sub(r"(?m)^deb\s", "deb-src ", text)
    return re.sub(r"(?m)^Types:.*$", "Types: deb-src", text)


def options(work):
    """Of apt-get, so that it works in a directory of ours."""
    settings = {"Dir::Etc::SourceList": f"{work}/none", "Dir::Etc::SourceParts": f"{work}/parts",
                "Dir::State::Lists": f"{work}/lists", "Dir::Cache": f"{work}/cache",
                "APT::Sandbox::User": "root"}
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def read_lists(work):
    for name in ("parts", "lists/partial", "cache/archives/partial"):
        os.makedirs(f"{work}/{name}", exist_ok=True)
    open(f"{work}/none", "w").close()
    for path in [path for pattern in ENTRIES for path in glob.glob(pattern)]:
        with open(path) as entry, open(f"{work}/parts/{os.path.basename(path)}", "w") as copy:
            copy.write(as_sources(entry.read()))
    subprocess.run(["apt-get", "-qq", *options(work), "update"], check=True)


def fetch(package, place, apt):
    """The newest version that can be had: an archive may list what it does not hold."""
    listed = subprocess.run(["apt-cache", *options(apt), "--only-source", "showsrc", package],
                            check=True, capture_output=True, text=True).stdout
    versions = list(dict.fromkeys(re.findall(r"(?m)^Version: (.*)", listed)))
    for version in versions:
        command = ["apt-get", "-qq", *options(apt), "--only-source", "source",
                   f"{package}={version}"]
        if subprocess.run(command, cwd=place).returncode == 0:
            return
    raise RuntimeError(f"{package}: no source could be fetched; listed were {versions}")


def home(suite, base):
    return os.path.join(base, suite.source or suite.name)


def prepare(suite, base):
    """Makes the suite's directory; its source is in it, built, if it has one."""
    place = home(suite, base)
    ready, recipe = os.path.join(place, "ready"), "\n".join([suite.source, *suite.build])
    if os.path.exists(ready) and open(ready).read() == recipe:
        return
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    if suite.source:
        apt = os.path.join(base, "apt")
        if not os.path.exists(apt):
            read_lists(apt)
        fetch(suite.source, place, apt)
        (tree,) = [entry.path for entry in os.scandir(place) if entry.is_dir()]
        os.rename(tree, os.path.join(place, "source"))
    source = os.path.join(place, "source")
    os.makedirs(source, exist_ok=True)
    for command in suite.build:
        subprocess.run(command, shell=True, cwd=source, check=True,
                       env={**os.environ, "SOURCE": source})
    with open(ready, "w") as file:
        file.write(recipe)
