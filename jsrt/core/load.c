/* SPDX-License-Identifier: MIT
 *
 * load.c: loads V8's side (load.h says why so late).
 *
 * The library lies beside this extension and has its suffix: _jsrt.SUFFIX, _v8.SUFFIX.
 */
#define _GNU_SOURCE /* dladdr */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "load.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

jsrt_v8_t jsrt_v8;

/* Returns 0, or -1 where this extension is no file. */
static int
find_library(char *path, size_t size)
{
    static const char own[] = "_jsrt";
    Dl_info info;
    if (dladdr(&jsrt_v8, &info) == 0 || info.dli_fname == NULL) {
        return -1;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    const char *name = slash != NULL ? slash + 1 : info.dli_fname;
    if (strncmp(name, own, strlen(own)) != 0) {
        return -1;
    }
    int length = snprintf(path, size, "%.*s_v8%s", (int)(name - info.dli_fname), info.dli_fname,
                          name + strlen(own));
    return length > 0 && (size_t)length < size ? 0 : -1;
}

static int
fail(const char *why)
{
    PyErr_Format(PyExc_ImportError,
                 "V8 cannot be loaded: %s. It is in Node.js built as a library: install libnode "
                 "(Debian and Ubuntu: libnode-dev), the version that jsrt was built with",
                 why);
    return -1;
}

int
jsrt_v8_load(void)
{
    char path[PATH_MAX];
    if (find_library(path, sizeof(path)) < 0) {
        return fail("jsrt._jsrt does not lie in a file of that name");
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return fail(dlerror());
    }
    jsrt_v8_t found;
#define FIND(name)                                                         \
    if ((*(void **)&found.name = dlsym(library, "jsv8_" #name)) == NULL) { \
        fail(dlerror());                                                   \
        dlclose(library);                                                  \
        return -1;                                                         \
    }
    JSRT_V8_FUNCTIONS(FIND)
#undef FIND
    jsrt_v8 = found; /* never unloaded: V8 cannot be started twice */
    return 0;
}
