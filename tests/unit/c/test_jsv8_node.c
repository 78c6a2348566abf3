/* SPDX-License-Identifier: MIT
 *
 * test_jsv8_node.c: Node's environment: web globals, fetch, unhandled errors, the node profile,
 * termination while a loop turns.
 */
#define _GNU_SOURCE /* strcasestr */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "jsv8_harness.h"

/* Answers every connection once with a text that names the method. */
static void *
serve(void *argument)
{
    int listener = *(int *)argument, connection;
    while ((connection = accept(listener, NULL, NULL)) >= 0) {
        char request[8192], reply[256];
        size_t got = 0;
        const char *end;
        ssize_t more;
        /* The whole of it: closing with unread data would reset the connection. */
        while (got < sizeof(request) - 1 &&
               (more = read(connection, request + got, sizeof(request) - 1 - got)) > 0) {
            got += (size_t)more;
            request[got] = '\0';
            if ((end = strstr(request, "\r\n\r\n")) == NULL) {
                continue;
            }
            const char *chunked = strcasestr(request, "transfer-encoding");
            const char *length = strcasestr(request, "content-length:");
            if (chunked != NULL ? strstr(end, "0\r\n\r\n") != NULL
                : length == NULL ||
                  strlen(end + 4) >= strtoul(length + 15, NULL, 10)) {
                break;
            }
        }
        if (got > 0) {
            int word = (int)strcspn(request, " ");
            int length = snprintf(reply, sizeof(reply),
                                  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                  "Content-Length: %d\r\nConnection: close\r\n\r\n%.*s-ok",
                                  word + 3, word, request);
            if (write(connection, reply, (size_t)length) != length) {
                perror("write");
            }
        }
        close(connection);
    }
    return NULL;
}

static int
open_server(int *listener, pthread_t *thread)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(*listener, 16), 0);
    assert_int_equal(getsockname(*listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(thread, NULL, serve, listener), 0);
    return ntohs(address.sin_port);
}

static void
close_server(int listener, pthread_t thread)
{
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
}

static double
thread_cpu_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

void
test_web_globals(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_WEB, 0);
    expect_text(isolate,
                "['URL','URLSearchParams','TextEncoder','TextDecoder','TextEncoderStream',"
                "'TextDecoderStream','fetch','Request','Response','Headers','FormData','crypto',"
                "'Crypto','CryptoKey','SubtleCrypto','AbortController','AbortSignal','Event',"
                "'EventTarget','CustomEvent','setTimeout','clearTimeout','setInterval',"
                "'clearInterval','queueMicrotask','structuredClone','ReadableStream',"
                "'WritableStream','TransformStream','CompressionStream','DecompressionStream',"
                "'ByteLengthQueuingStrategy','CountQueuingStrategy','Blob','File','MessageChannel',"
                "'MessagePort','DOMException','performance','atob','btoa','console','self',"
                "'globalThis','WebAssembly','Intl'].filter((n) => globalThis[n] === undefined)"
                ".join()", "");
    expect_text(isolate, "['process','require','Buffer','global','module','exports',"
                         "'setImmediate','clearImmediate'].filter((n) => globalThis[n] !== "
                         "undefined).join()", "");
    expect_text(isolate, "(function() { return typeof this.process + typeof process })()",
                "undefinedundefined");
    expect_text(isolate, "new URL('http://\xfc.example/a?b=1').searchParams.get('b')", "1");
    expect_text(isolate, "new TextDecoder().decode(new TextEncoder().encode('\xe9'))", "\xe9");
    expect_int(isolate, "structuredClone({m: new Map([[1, {a: 7}]])}).m.get(1).a", 7);
    expect_text(isolate, "try { structuredClone(() => 1) } catch (e) { e.name }",
                "DataCloneError");
    expect_text(isolate, "btoa(atob('aGk='))", "aGk=");
    awaited_text(isolate, "crypto.subtle.digest('SHA-256', new TextEncoder().encode('abc')).then("
                          "(d) => Array.from(new Uint8Array(d), (b) => b.toString(16).padStart(2, "
                          "'0')).join(''))",
                 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    awaited_text(isolate, "(async () => { const order = []; setTimeout(() => order.push('c'), 20);"
                          "setTimeout(() => order.push('b'), 1); queueMicrotask(() => "
                          "order.push('a')); await new Promise((r) => setTimeout(r, 40)); "
                          "return order.join('') })()", "abc");
    awaited_text(isolate, "new Response(new Blob(['gzip '.repeat(3)]).stream().pipeThrough(new "
                          "CompressionStream('gzip')).pipeThrough(new DecompressionStream('gzip'"
                          "))).text()", "gzip gzip gzip ");
    awaited_text(isolate, "new Promise((r) => { const c = new MessageChannel(); c.port1.onmessage "
                          "= (e) => { c.port1.close(); r(e.data) }; c.port2.postMessage('sent') })",
                 "sent");
    awaited_text(isolate, "WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).then("
                          "String)", "[object WebAssembly.Module]");
    awaited_text(isolate, "import('fs').then(() => 'imported', () => 'refused')", "refused");
    /* Time passes in the wait, not in a spin. */
    double before = now_ms();
    double cpu = thread_cpu_ms();
    awaited(isolate, "new Promise((r) => setTimeout(r, 200))");
    assert_true(now_ms() - before >= 190);
    assert_true(thread_cpu_ms() - cpu < 150);
    jsv8_isolate_free(isolate);
}

void
test_fetch(void **state)
{
    (void)state;
    int listener;
    pthread_t server;
    char source[512];
    int port = open_server(&listener, &server);
    jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_WEB, 0);
    snprintf(source, sizeof(source), "fetch('http://127.0.0.1:%d/').then((r) => r.text())", port);
    awaited_text(isolate, source, "GET-ok");
    snprintf(source, sizeof(source),
             "fetch('http://127.0.0.1:%d/', {method: 'POST', body: new URLSearchParams({a: '1'})})"
             ".then((r) => r.text())", port);
    awaited_text(isolate, source, "POST-ok");
    snprintf(source, sizeof(source),
             "const f = new FormData(); f.append('a', new Blob(['x']), 'n'); fetch("
             "'http://127.0.0.1:%d/', {method: 'PUT', body: f}).then((r) => r.text())", port);
    awaited_text(isolate, source, "PUT-ok");
    snprintf(source, sizeof(source),
             "const c = new AbortController(); const p = fetch('http://127.0.0.1:%d/', {signal: "
             "c.signal}).catch((e) => e.name); c.abort(); p", port);
    awaited_text(isolate, source, "AbortError");
    awaited_text(isolate, "fetch('http://127.0.0.1:1/').catch((e) => e.name)", "TypeError");
    assert_string_equal(unhandled, "");
    /* Freed with a request and a timer under way. */
    snprintf(source, sizeof(source), "fetch('http://127.0.0.1:%d/'); setInterval(() => {}, 1); 1",
             port);
    value_of(isolate, source);
    jsv8_turn(isolate, 0);
    jsv8_isolate_free(isolate);
    close_server(listener, server);
}

void
test_unhandled(void **state)
{
    (void)state;
    for (int profile = JSV8_PROFILE_WEB; profile <= JSV8_PROFILE_NODE; profile++) {
        jsv8_isolate_t *isolate = isolate_with((jsv8_profile_t)profile, 0);
        awaited(isolate, "setTimeout(() => { throw new RangeError('timer') }, 1);"
                         "setTimeout(() => { throw null }, 2);"
                         "queueMicrotask(() => { throw new SyntaxError('micro') });"
                         "Promise.reject(new TypeError('reject')); Promise.reject(undefined);"
                         "new Promise((r) => setTimeout(r, 30))");
        assert_non_null(strstr(unhandled, "RangeError: timer\n"));
        assert_non_null(strstr(unhandled, ": null\n"));
        assert_non_null(strstr(unhandled, "SyntaxError: micro\n"));
        assert_non_null(strstr(unhandled, "TypeError: reject\n"));
        assert_non_null(strstr(unhandled, ": undefined\n"));
        expect_int(isolate, "1", 1);
        jsv8_isolate_free(isolate);
    }
}

void
test_terminate_in_loop(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_WEB, 0);
    pthread_t thread;
    struct stopper stopper = {isolate, 60, 0};
    value_of(isolate, "globalThis.after = 0; setTimeout(() => { for (;;); }, 1);"
                      "setTimeout(() => { after = 1 }, 5); 1");
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stopper), 0);
    double before = now_ms();
    while (jsv8_turn(isolate, 1) && now_ms() - before < 5000) {
    }
    pthread_join(thread, NULL);
    assert_true(now_ms() - before < 5000);
    jsv8_terminate_cancel(isolate);
    expect_int(isolate, "after", 1);
    /* A wait for an event that does not come is ended. */
    value_of(isolate, "setTimeout(() => {}, 60000); 1");
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stopper), 0);
    before = now_ms();
    jsv8_turn(isolate, 1);
    assert_true(now_ms() - before < 2000);
    pthread_join(thread, NULL);
    jsv8_isolate_free(isolate);
}

void
test_node(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_NODE, 0);
    expect_text(isolate, "require('path').join('a', 'b')", "a/b");
    expect_text(isolate, "Buffer.from('hi').toString('hex')", "6869");
    expect_text(isolate, "typeof setImmediate + typeof global + typeof process",
                "functionobjectobject");
    expect_status(isolate, "process.exit(3)", JSV8_EXCEPTION, "Error", "process.exit()");
    expect_status(isolate, "process.reallyExit(3)", JSV8_EXCEPTION, "Error", "reallyExit");
    expect_status(isolate, "process.abort()", JSV8_EXCEPTION, "Error", "process.abort()");
    awaited_text(isolate, "(async () => { const o = []; setImmediate(() => o.push('i')); "
                          "Promise.resolve().then(() => o.push('p')); process.nextTick(() => "
                          "o.push('t')); await new Promise((r) => setTimeout(r, 20)); "
                          "return o.join('') })()", "tpi");
    value_of(isolate, "globalThis.ticked = 0; process.nextTick(() => { ticked = 1 }); 1");
    expect_int(isolate, "ticked", 1);
    awaited_text(isolate, "require('fs/promises').readFile('/proc/self/comm', 'utf8').then((t) => "
                          "t.trim() ? 'read' : '')", "read");
    awaited_text(isolate, "process.on('uncaughtException', (e) => { globalThis.seen = e.message });"
                          "setTimeout(() => { throw new Error('own') }, 1);"
                          "new Promise((r) => setTimeout(() => r(seen), 20))", "own");
    assert_string_equal(unhandled, "");
    jsv8_isolate_free(isolate);
}
