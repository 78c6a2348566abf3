/* SPDX-License-Identifier: MIT
 *
 * exception.hh: JavaScript exceptions as jsv8_error_t.
 */
#ifndef JSRT_V8_EXCEPTION_HH
#define JSRT_V8_EXCEPTION_HH

#include "scope.hh"

namespace jsv8
{

/* The texts an error points to: one growing block, reset for each error. */
struct ErrorTexts {
    Scratch block;
    size_t used = 0;
};

/* An error with nothing to say. */
void clear_error(jsv8_error_t *error);
/* An error of the shim's own; message is kept by pointer, so a literal, or made by format_error. */
jsv8_status_t fail(jsv8_error_t *error, jsv8_status_t status, const char *message);
/* As fail, the message formatted into the isolate's error texts. */
jsv8_status_t fail_format(jsv8_isolate *iso, jsv8_error_t *error, jsv8_status_t status,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Fills error from a thrown value. May run JavaScript (getters), whose own exceptions are
 * swallowed. message: may be empty. */
void describe(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Value> thrown,
              v8::Local<v8::Message> message, const char *filename, ErrorTexts *texts,
              jsv8_error_t *error);

/* What a TryCatch caught, as a status and an error: JSV8_EXCEPTION, or that of a stop. */
jsv8_status_t caught_status(jsv8_isolate *iso, Entry &entry, v8::TryCatch &caught,
                            jsv8_error_t *error, const char *filename = nullptr);

/* Hands an exception that nobody caught to on_unhandled. message: may be empty. */
void report_unhandled(jsv8_isolate *iso, v8::Local<v8::Context> context,
                      v8::Local<v8::Value> thrown, v8::Local<v8::Message> message);

}   // namespace jsv8
#endif
