#include "edged/etag.h"

void etag_write(char tag[ETAG_MAX], uint64_t digest)
{
        static const char hex[] = "0123456789abcdef";
        char *at = tag;
        if (digest) {
                *at++ = '"';
                for (int shift = 60; shift >= 0; shift -= 4)
                        *at++ = hex[digest >> shift & 15];
                *at++ = '"';
        }
        *at = '\0';
}
