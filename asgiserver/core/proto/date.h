/* SPDX-License-Identifier: MIT
 *
 * date.h: the Date header's text, made once per second.
 */
#ifndef ASGI_DATE_H
#define ASGI_DATE_H

#include <stdbool.h>
#include <time.h>

#define ASGI_DATE_SIZE 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Writes the IMF-fixdate of a time; out has room for ASGI_DATE_SIZE bytes, no NUL is added. */
void asgi_date_format(time_t at, char *out);

/* The wall clock in whole seconds, from the kernel's coarse clock (a few nanoseconds a call). */
time_t asgi_date_now(void);

#endif
