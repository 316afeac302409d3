#include "proto/message.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"

nng_msg *message_new(uint8_t type, message_encode *encode, const void *message)
{
        struct writer w;
        writer_init(&w, NULL, 0);
        encode(&w, message);

        nng_msg *msg;
        size_t len = 1 + w.len;
        if (nng_msg_alloc(&msg, len) != 0)
                mem_out("a message");
        writer_init(&w, nng_msg_body(msg), len);
        writer_u8(&w, type);
        encode(&w, message);
        assert(writer_ok(&w) && w.len == len);
        return msg;
}

uint8_t message_open(struct reader *r, nng_msg *msg)
{
        reader_init(r, nng_msg_body(msg), nng_msg_len(msg));
        return reader_u8(r);
}

void session_id_make(char dst[SESSION_ID_MAX + 1], int64_t epoch_us)
{
        time_t s = epoch_us / US_PER_S;
        struct tm tm;
        uint32_t bits;
        gmtime_r(&s, &tm);
        ssize_t got = getrandom(&bits, sizeof(bits), 0);
        assert(got == sizeof(bits));
        (void)got;
        snprintf(dst, SESSION_ID_MAX + 1, "%04d%02d%02dT%02d%02d%02dZ-%08x", (tm.tm_year + 1900) % 10000,
                 (tm.tm_mon + 1) % 100, tm.tm_mday % 100, tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100, bits);
}
