/* SPDX-License-Identifier: MIT
 *
 * view.hh: views of objects of the host's: JavaScript looks at them, and the host is asked.
 */
#ifndef JSRT_V8_VIEW_HH
#define JSRT_V8_VIEW_HH

#include "host.hh"

namespace jsv8
{

/* The view of an object of the host's that this scope has already, or another. Sets callback->taken
 * in that case. */
bool make_view(jsv8_isolate *iso, v8::Local<v8::Context> context, jsv8_callback_t *callback,
               v8::Local<v8::Value> *out);
void forget_view(Hosted *hosted);     /* it goes, if it is one */
void forget_views(RealmParts *parts); /* the realm goes, or the isolate */

}   // namespace jsv8
#endif
