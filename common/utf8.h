/* utf8.h - telling UTF-8 from other bytes. Pure. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stddef.h>

/* How many bytes the character at p has: 1 to 4, or 0 when the bytes there are none (RFC 3629: no overlong form, no
 * surrogate, nothing above U+10FFFF). left > 0 bytes may be read. */
static inline size_t utf8_len(const unsigned char *p, size_t left)
{
        size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
        if (len > left)
                return 0;
        for (size_t i = 1; i < len; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        }
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
            (p[0] == 0xf4 && p[1] > 0x8f))
                return 0;
        return len;
}

#endif
