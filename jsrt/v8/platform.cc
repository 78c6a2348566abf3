/* SPDX-License-Identifier: MIT
 *
 * platform.cc: V8 and Node of this process: started once, stopped at most once.
 *
 * Node's per-process start is told to keep its hands off everything that belongs to Python:
 * signal handlers, stdio, resource limits, the command line, NODE_OPTIONS, OpenSSL's settings.
 * The platform is ours: Node's MultiIsolatePlatform with two worker threads (V8's optimising
 * compiler and its garbage collector use them).
 *
 * It also stands before libuv's uv_fs_open, which libnode calls to read five of its own JS files
 * where Debian keeps them outside the library (/usr/share/nodejs). The symbol has default
 * visibility; an extension's own scope is searched in the order extension, libnode, libuv, so
 * libnode's calls arrive here. Only a synchronous open of such a path that does not exist is
 * redirected; everything else goes through unchanged.
 */
#include "platform.hh"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "exception.hh"

namespace
{

constexpr int kWorkerThreads = 2;
constexpr uint64_t kLoadCryptoStrings = 2; /* OPENSSL_INIT_LOAD_CRYPTO_STRINGS */
constexpr char kSystemShare[] = "/usr/share/";
constexpr char kSystemNode[] = "/usr/share/nodejs/";

enum class Stage { kNew, kRunning, kFailed, kStopped };

std::atomic<Stage> stage{Stage::kNew};
std::atomic<bool> forked{false};
char share[PATH_MAX]; /* "" : none */
char reason[512];     /* why the start failed */

/* Leaked where jsv8_process_stop is not called: its threads may outlive static destructors. */
node::MultiIsolatePlatform *the_platform = nullptr;

using fs_open_t = int (*)(uv_loop_t *, uv_fs_t *, const char *, int, int, uv_fs_cb);

fs_open_t
real_fs_open()
{
    static fs_open_t found = [] {
        void *symbol = dlsym(RTLD_NEXT, "uv_fs_open");
        if (symbol == nullptr) {
            void *libuv = dlopen("libuv.so.1", RTLD_LAZY | RTLD_NOLOAD);
            symbol = libuv != nullptr ? dlsym(libuv, "uv_fs_open") : nullptr;
        }
        return reinterpret_cast<fs_open_t>(symbol);
    }();
    return found;
}

bool
readable_below(const char *base)
{
    std::string file = std::string(base) + "nodejs/undici/undici-fetch.js";
    return access(file.c_str(), R_OK) == 0;
}

/* The process ends. Work in libuv's threads (WebCrypto, zlib, files) would go on while OpenSSL is
 * torn down, and crash: libuv waits for its threads only in its own destructor, too late. */
void
at_exit()
{
    if (stage != Stage::kRunning || forked.load(std::memory_order_relaxed)) {
        return;
    }
    jsv8_process_stop();
    uv_library_shutdown();
}

/* Exit handlers run in reverse order, and OpenSSL registers its own when it is first used. So it
 * is used before ours is registered. */
void
register_at_exit()
{
    using init_t = int (*)(uint64_t, const void *);
    auto init = reinterpret_cast<init_t>(dlsym(RTLD_NEXT, "OPENSSL_init_crypto"));
    if (init != nullptr) {
        init(kLoadCryptoStrings, nullptr); /* the least that makes it register */
    }
    atexit(at_exit);
}

void
in_child()
{
    if (stage == Stage::kRunning) {
        forked.store(true, std::memory_order_relaxed);
    }
}

}   // namespace

extern "C" __attribute__((visibility("default"))) int
uv_fs_open(uv_loop_t *loop, uv_fs_t *request, const char *path, int flags, int mode, uv_fs_cb done)
{
    fs_open_t real = real_fs_open();
    if (real == nullptr) {
        return UV_ENOSYS;
    }
    if (done == nullptr && share[0] != '\0' && path != nullptr
        && strncmp(path, kSystemNode, sizeof(kSystemNode) - 1) == 0 && access(path, F_OK) != 0) {
        std::string moved = std::string(share) + (path + sizeof(kSystemShare) - 1);
        return real(loop, request, moved.c_str(), flags, mode, done);
    }
    return real(loop, request, path, flags, mode, done);
}

namespace jsv8
{

node::MultiIsolatePlatform *
platform()
{
    return the_platform;
}

bool
is_running()
{
    return stage.load() == Stage::kRunning;
}

}   // namespace jsv8

jsv8_status_t
jsv8_process_start(const char *share_dir, jsv8_error_t *error)
{
    using namespace node::ProcessInitializationFlags;

    jsv8::clear_error(error);
    if (stage == Stage::kRunning) {
        return JSV8_OK;
    }
    if (stage == Stage::kStopped) {
        return jsv8::fail(error, JSV8_UNSUPPORTED, "V8 was stopped and cannot be started again");
    }
    if (stage == Stage::kFailed) {
        return jsv8::fail(error, JSV8_UNSUPPORTED, reason);
    }
    if (share_dir != nullptr) {
        size_t length = strlen(share_dir);
        bool slash = length > 0 && share_dir[length - 1] == '/';
        snprintf(share, sizeof(share), "%s%s", share_dir, slash ? "" : "/");
    }
    stage = Stage::kFailed;
    /* Node aborts where it cannot read these, so look first. Only Debian's libnode wants them:
     * one that was built whole never opens a path there. */
    if (share[0] != '\0' && access(kSystemNode, F_OK) != 0 && !readable_below(share)) {
        snprintf(reason, sizeof(reason),
                 "Node's own JavaScript files are neither in %s nor in "
                 "%snodejs",
                 kSystemNode, share);
        return jsv8::fail(error, JSV8_UNSUPPORTED, reason);
    }

    /* execArgv and argv of process; also keeps Node from reading the real command line. */
    std::vector<std::string> args{"jsrt"};
    auto started = node::InitializeOncePerProcess(
        args, {kNoStdioInitialization, kNoDefaultSignalHandling, kNoInitializeV8,
               kNoInitializeNodeV8Platform, kNoInitOpenSSL, kNoParseGlobalDebugVariables,
               kNoAdjustResourceLimits, kNoUseLargePages, kNoPrintHelpOrVersionOutput,
               kDisableNodeOptionsEnv, kDisableCLIOptions});
    if (!started->errors().empty() && started->exit_code() != 0) {
        snprintf(reason, sizeof(reason), "Node could not be started: %s",
                 started->errors().front().c_str());
        return jsv8::fail(error, JSV8_UNSUPPORTED, reason);
    }
#if V8_MAJOR_VERSION < 11
    /* A shared memory of WebAssembly is in no budget: V8 counts it for nobody. Later versions have
     * no such flag, and say so on stderr (jsrt/README.md, "What hostile code meets"). */
    v8::V8::SetFlagsFromString("--no-experimental-wasm-threads");
#endif
    the_platform = node::MultiIsolatePlatform::Create(kWorkerThreads).release();
    v8::V8::InitializePlatform(the_platform);
    v8::V8::Initialize();
    pthread_atfork(nullptr, nullptr, in_child);
    register_at_exit();
    stage = Stage::kRunning;
    return JSV8_OK;
}

void
jsv8_process_stop(void)
{
    /* A thread that makes an isolate counts it, then looks at the stage (jsv8_isolate_new). */
    Stage running = Stage::kRunning;
    if (forked || !stage.compare_exchange_strong(running, Stage::kStopped)) {
        return;
    }
    if (jsv8_live_isolates() != 0) {
        stage = Stage::kRunning;
        return;
    }
    v8::V8::Dispose();
    v8::V8::DisposePlatform();
    delete the_platform;
    the_platform = nullptr;
    /* Not node::TearDownOncePerProcess(): it resets signal handlers and stdio, which were not
     * Node's to begin with. */
}

int
jsv8_process_forked(void)
{
    return forked.load(std::memory_order_relaxed);
}

const char *
jsv8_v8_version(void)
{
    return v8::V8::GetVersion();
}

const char *
jsv8_node_version(void)
{
    return &NODE_VERSION[1];
}
