/* m3u8.h - writes the lines of an HLS playlist. The text grows as it must; a second's lines are written without printf, as a day has
 * 86,400 of them.
 *
 *   zeroed → m3u8_…() → m3u8_end() */
#ifndef ORIGIND_M3U8_H
#define ORIGIND_M3U8_H

#include <stdint.h>

#include "common/buf.h"

struct m3u8 {
        char *text;
        size_t len, cap;
};

void m3u8_put(struct m3u8 *m, const char *text);
void m3u8_second(struct m3u8 *m, int64_t n); /* segment n, of a second: EXTINF and address. Not negative */
void m3u8_key(struct m3u8 *m, int64_t n);    /* the same of its key picture (keyframe.h) */
void m3u8_fmt(struct m3u8 *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void m3u8_seconds(struct m3u8 *m, int64_t us); /* 1.234567 */
void m3u8_quoted(struct m3u8 *m, const char *text); /* with the quotes; what cannot stand in them is replaced */
struct buf *m3u8_end(struct m3u8 *m); /* the text; m is empty again */

#endif
