/* SPDX-License-Identifier: MIT
 *
 * date.c: IMF-fixdate without locale; see date.h.
 */
#include "proto/date.h"

static void
two_digits(char *out, int value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

void
asgi_date_format(time_t at, char *out)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char shape[] = "ddd, dd mmm yyyy hh:mm:ss GMT";
    struct tm tm;

    gmtime_r(&at, &tm);
    for (int i = 0; i < ASGI_DATE_SIZE; i++)
        out[i] = shape[i];
    for (int i = 0; i < 3; i++) {
        out[i] = days[tm.tm_wday * 3 + i];
        out[8 + i] = months[tm.tm_mon * 3 + i];
    }
    two_digits(out + 5, tm.tm_mday);
    two_digits(out + 12, (tm.tm_year + 1900) / 100);
    two_digits(out + 14, (tm.tm_year + 1900) % 100);
    two_digits(out + 17, tm.tm_hour);
    two_digits(out + 20, tm.tm_min);
    two_digits(out + 23, tm.tm_sec);
}

time_t
asgi_date_now(void)
{
    struct timespec now;

#ifdef CLOCK_REALTIME_COARSE
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
#else
    clock_gettime(CLOCK_REALTIME, &now);
#endif
    return now.tv_sec;
}
