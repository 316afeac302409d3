/* crc32c.h - CRC-32C (Castagnoli), at the speed of memory: what stored media are checked with. Any thread. */
#ifndef COMMON_CRC32C_H
#define COMMON_CRC32C_H

#include <isa-l/crc.h>
#include <stddef.h>
#include <stdint.h>

/* Of what crc was of, followed by these bytes; of nothing it is 0. */
static inline uint32_t crc32c(uint32_t crc, const void *data, size_t len_bytes)
{
        unsigned char *p = (unsigned char *)(uintptr_t)data; /* it only reads */
        crc = ~crc;
        for (size_t n; len_bytes; p += n, len_bytes -= n) {
                n = len_bytes < (1u << 30) ? len_bytes : 1u << 30;
                crc = crc32_iscsi(p, (int)n, crc);
        }
        return ~crc;
}

#endif
