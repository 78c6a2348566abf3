# SPDX-License-Identifier: MIT
"""Builds asgiserver._core and jsrt._jsrt (C), and jsrt._v8 (a C++ shim for V8).

jsrt._v8 is no module of Python's: jsrt._jsrt loads it when JavaScript is first used.

Where things come from, first match wins:

  libuv, OpenSSL, nghttp2, zlib   pkg-config
  llhttp                          pkg-config libllhttp; the sources of node-llhttp under
                                  build/deps or /usr/share (compiled in, hidden)
  libnode                         $CASGI_NODE_PREFIX, build/deps (see tools/setup-system),
                                  the system's /usr

Switches, read from the environment:

  CASGI_ONLY=asgiserver|jsrt   build just that extension
  CASGI_DEBUG=1                -O0 -g3, assertions on
  CASGI_SANITIZE=address       AddressSanitizer and UndefinedBehaviorSanitizer
  CASGI_WERROR=1               warnings are errors (development and CI; never for users)
  CASGI_ANALYZE=1              with gcc's static analyzer over the C files
  CASGI_BUILD_TAG=NAME         a private build: objects and packages under build/tag-NAME
  CASGI_EXCLUDE=GLOB,GLOB      sources left out of a private build
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
os.chdir(ROOT)

ONLY = os.environ.get("CASGI_ONLY", "")
DEBUG = bool(os.environ.get("CASGI_DEBUG"))
SANITIZE = os.environ.get("CASGI_SANITIZE", "")
WERROR = bool(os.environ.get("CASGI_WERROR"))
TAG = os.environ.get("CASGI_BUILD_TAG", "")
EXCLUDE = [g for g in os.environ.get("CASGI_EXCLUDE", "").split(",") if g]
DEPS = ROOT / "build" / "deps" / "usr"

HINT = (
    "Run `make setup`, which installs what is missing or unpacks it under build/deps "
    "(see README, 'Set-up')."
)


class Missing(SystemExit):
    """A build dependency that is not there: says which package holds it."""

    def __init__(self, what: str, debian: str, more: str = "") -> None:
        super().__init__(f"\nerror: {what} was not found. Debian/Ubuntu: {debian}. {more}{HINT}\n")


def pkg_config(module: str, debian: str) -> dict[str, list[str]]:
    """The flags pkg-config knows for a library, sorted into setuptools' keywords."""
    try:
        done = subprocess.run(
            ["pkg-config", "--cflags", "--libs", module], capture_output=True, text=True
        )
    except FileNotFoundError:
        raise Missing("pkg-config", "pkg-config") from None
    if done.returncode:
        raise Missing(f"the library {module}", debian)
    flags: dict[str, list[str]] = {"include_dirs": [], "library_dirs": [], "libraries": []}
    for word in done.stdout.split():
        for prefix, key in (("-I", "include_dirs"), ("-L", "library_dirs"), ("-l", "libraries")):
            if word.startswith(prefix):
                flags[key].append(word[2:])
    return flags


def merged(*parts: dict[str, list[str]]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for part in parts:
        for key, values in part.items():
            kept = out.setdefault(key, [])
            kept.extend(v for v in values if v not in kept)
    return out


def llhttp() -> tuple[dict[str, list[str]], list[str]]:
    """Flags and sources of llhttp. The sources are never part of this repository."""
    known = subprocess.run(["pkg-config", "--exists", "libllhttp"]).returncode == 0
    if known:
        flags = pkg_config("libllhttp", "libllhttp-dev")
        # The static archive when there is one: libnode exports 91 llhttp_* symbols of its own.
        for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"):
            archive = f"{folder}/libllhttp.a"
            if os.path.exists(archive):
                flags["libraries"] = [n for n in flags["libraries"] if n != "llhttp"]
                return flags | {"extra_objects": [archive]}, []
        return flags, []
    for share in (DEPS / "share", Path("/usr/share")):
        sources = [share / "llhttp" / name for name in ("api.c", "http.c", "llhttp.c")]
        if all(s.exists() for s in sources):
            # Copied so that the objects land in the build folder, wherever the sources are.
            copy = ROOT / "build" / "llhttp"
            copy.mkdir(parents=True, exist_ok=True)
            for source in sources:
                shutil.copyfile(source, copy / source.name)
            return (
                {"include_dirs": [str(share / "include" / "llhttp")]},
                [str((copy / s.name).relative_to(ROOT)) for s in sources],
            )
    raise Missing("llhttp", "libllhttp-dev (Debian 13) or node-llhttp (Debian 12)")


def libnode() -> tuple[Path, Path, str]:
    """(include folder, library folder, library file name) of libnode."""
    prefixes = [Path(p) for p in (os.environ.get("CASGI_NODE_PREFIX"), DEPS, "/usr") if p]
    for prefix in prefixes:
        includes = [prefix / "include" / "node", prefix / "include" / "nodejs" / "src"]
        include = next((i for i in includes if (i / "node.h").exists()), None)
        found = sorted(
            glob.glob(str(prefix / "lib" / "libnode.so.*"))
            + glob.glob(str(prefix / "lib" / "*-linux-gnu" / "libnode.so.*"))
        )
        if include and found:
            library = Path(found[-1])
            return include, library.parent, library.name
    raise Missing(
        "libnode (Node.js as a library: node.h and libnode.so)",
        "libnode-dev",
        "With NodeSource's nodejs installed that package cannot be: then the distribution's "
        "files are unpacked beside it. CASGI_NODE_PREFIX names another prefix. ",
    )


def cxx_standard() -> str:
    """What V8's headers ask for: C++20 since the V8 of Node 23."""
    text = (libnode()[0] / "node_version.h").read_text()
    major = re.search(r"define NODE_MAJOR_VERSION (\d+)", text)
    return "gnu++20" if major and int(major[1]) >= 23 else "gnu++17"


def common_flags() -> list[str]:
    # Calls into libpython and libnode are the hot path: without the PLT's jump each is cheaper.
    flags = ["-fno-plt", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter", "-g"]
    flags += ["-O0", "-g3", "-UNDEBUG"] if DEBUG else ["-O2"]
    if SANITIZE:
        flags += [
            f"-fsanitize={SANITIZE},undefined",
            "-fno-sanitize=vptr",
            "-fno-omit-frame-pointer",
            "-Wno-maybe-uninitialized",  # the checks put in branches that mislead this warning
        ]
    if WERROR:
        flags.append("-Werror")
    if os.environ.get("CASGI_ANALYZE"):
        flags.append("-fanalyzer")
    return flags


def kept(paths: list[str]) -> list[str]:
    return sorted(p for p in paths if not any(fnmatch.fnmatch(p, g) for g in EXCLUDE))


LINK = [f"-fsanitize={SANITIZE},undefined"] if SANITIZE else []


def asgiserver_extensions() -> list[Extension]:
    llhttp_flags, llhttp_sources = llhttp()
    flags = merged(
        {"include_dirs": ["asgiserver/core"]},
        pkg_config("libuv", "libuv1-dev"),
        pkg_config("openssl", "libssl-dev"),
        pkg_config("libnghttp2", "libnghttp2-dev"),
        pkg_config("zlib", "zlib1g-dev"),
        llhttp_flags,
    )
    sources = kept(glob.glob("asgiserver/core/**/*.c", recursive=True))
    core = Extension(
        "asgiserver._core",
        sources=sources + llhttp_sources,
        depends=glob.glob("asgiserver/core/**/*.h", recursive=True),
        define_macros=[("LLHTTP_STRICT_MODE", "1")],  # llhttp 8; later versions know no other
        extra_compile_args=common_flags(),
        extra_link_args=[*LINK, "-Wl,--exclude-libs,ALL", "-Wl,--as-needed"],
        **flags,
    )
    return [core]


def jsrt_extensions() -> list[Extension]:
    include, folder, library = libnode()
    libuv = pkg_config("libuv", "libuv1-dev")
    link = [*LINK, f"-l:{library}", f"-L{folder}", "-Wl,--as-needed"]
    if folder.is_relative_to(ROOT):
        # Found beside the extension, wherever the checkout is moved to.
        where = "jsrt" if not TAG else f"build/tag-{TAG}/lib/jsrt"
        relative = os.path.relpath(folder, ROOT / where)
        link.append(f"-Wl,-rpath,$ORIGIN/{relative}")
    elif folder not in (Path("/usr/lib"), Path("/usr/lib/x86_64-linux-gnu")):
        link.append(f"-Wl,-rpath,{folder}")
    share = (
        folder.parent.parent / "share" if folder.name.endswith("gnu") else folder.parent / "share"
    )
    macros: list[tuple[str, str | None]] = []
    if (share / "nodejs").is_dir() and share.is_relative_to(ROOT):
        where = "jsrt" if not TAG else f"build/tag-{TAG}/lib/jsrt"
        macros.append(("JSRT_SHARE_DIR", f'"{os.path.relpath(share, ROOT / where)}"'))
    core = Extension(
        "jsrt._jsrt",
        sources=kept(glob.glob("jsrt/core/*.c")),
        depends=[*glob.glob("jsrt/core/*.h"), "jsrt/v8/jsv8.h"],
        define_macros=macros,
        extra_compile_args=common_flags(),
        extra_link_args=[*LINK, "-Wl,--as-needed"],
        **merged({"include_dirs": ["jsrt/core", "jsrt/v8"]}, libuv),
    )
    shim = Extension(
        "jsrt._v8",
        sources=kept(glob.glob("jsrt/v8/*.cc")),
        depends=glob.glob("jsrt/v8/*.h*"),
        extra_compile_args=common_flags(),
        extra_link_args=link,
        language="c++",
        **merged({"include_dirs": ["jsrt/v8", str(include)]}, libuv),
    )
    return [core, shim]


class BuildExt(build_ext):
    """Gives C and C++ files flags of their own, and private builds a folder of their own."""

    def finalize_options(self) -> None:
        super().finalize_options()
        tag = f"tag-{TAG}" if TAG else "temp"
        mode = "".join(
            f"-{m}" for m in (("debug",) if DEBUG else ()) + ((SANITIZE,) if SANITIZE else ())
        )
        version = f"{sys.version_info.major}{sys.version_info.minor}"
        self.build_temp = str(Path("build") / tag / f"obj-{version}{mode}")
        if TAG:
            self.inplace = False
            self.build_lib = str(Path("build") / tag / "lib")

    def build_extension(self, ext: Extension) -> None:
        """Compiles what is older than its source or any header, on all cores, then links."""
        own = Path(self.build_temp)
        self.build_temp = str(own / ext.name)
        compiler = self.compiler
        compile_one, compile_all = compiler._compile, compiler.compile
        newest_header = max(map(os.path.getmtime, [*ext.depends, __file__]))
        waiting: list[tuple[Any, ...]] = []

        def defer(obj, src, suffix, cc_args, extra, pp_opts):  # type: ignore[no-untyped-def]
            extra = list(extra)
            if src.endswith(".cc"):
                extra = [flag for flag in extra if flag != "-fanalyzer"]
                # V8's headers are system headers: their warnings are not ours to mend.
                extra += [f"-std={cxx_standard()}", "-fno-rtti", "-fno-exceptions"]
                pp_opts = [re.sub(r"^-I(.*include/node.*)$", r"-isystem\1", o) for o in pp_opts]
            else:
                extra += ["-std=gnu11"]
            if src.startswith("build"):
                extra += ["-w"]  # llhttp's generated sources
            if not os.path.exists(obj) or os.path.getmtime(obj) < max(
                os.path.getmtime(src), newest_header
            ):
                waiting.append((obj, src, suffix, cc_args, extra, pp_opts))

        def compile_parallel(*args, **kwargs):  # type: ignore[no-untyped-def]
            objects = compile_all(*args, **kwargs)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for done in [pool.submit(compile_one, *job) for job in waiting]:
                    done.result()
            return objects

        compiler._compile, compiler.compile = defer, compile_parallel
        try:
            super().build_extension(ext)
        finally:
            compiler._compile, compiler.compile = compile_one, compile_all
            self.build_temp = str(own)

    def run(self) -> None:
        super().run()
        if TAG:
            for package in ("asgiserver", "jsrt"):
                target = Path(self.build_lib) / package
                target.mkdir(parents=True, exist_ok=True)
                for source in glob.glob(f"{package}/**/*.*", recursive=True):
                    if not source.endswith((".py", ".html")):
                        continue
                    copy = target / Path(source).relative_to(package)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, copy)


BUILDERS = {"asgiserver": asgiserver_extensions, "jsrt": jsrt_extensions}
setup(
    ext_modules=[
        each for name, build in BUILDERS.items() if ONLY in ("", name) for each in build()
    ],
    cmdclass={"build_ext": BuildExt},
)
