#include "proto/check.h"

#include <ctype.h>
#include <string.h>

#include "proto/message.h"

/* 1 when s has 1 to max characters, each a letter, a digit or in `others`. */
static int only(const char *s, size_t max, const char *others)
{
        size_t n = 0;
        for (; s[n]; n++) {
                if (n == max || (!isalnum((unsigned char)s[n]) && !strchr(others, s[n])))
                        return 0;
        }
        return n > 0;
}

int stream_id_valid(const char *s)
{
        return only(s, STREAM_ID_MAX, "_-");
}

int session_id_valid(const char *s)
{
        return only(s, SESSION_ID_MAX, "-");
}

int node_id_valid(const char *s)
{
        return only(s, NODE_ID_MAX, "._-");
}

int zone_valid(const char *s)
{
        return only(s, ZONE_MAX, "._-");
}

int track_name_valid(const char *s)
{
        size_t n = 0;
        for (; s[n]; n++) {
                int ok = (s[n] >= 'a' && s[n] <= 'z') || (n > 0 && s[n] >= '0' && s[n] <= '9');
                if (n == TRACK_NAME_MAX || !ok)
                        return 0;
        }
        return n >= 2;
}

int64_t check_time(struct reader *r)
{
        int64_t t = reader_i64(r);
        if (t < -TIME_MAX_US || t > TIME_MAX_US)
                reader_fail(r);
        return t;
}

int64_t check_time_from_zero(struct reader *r)
{
        int64_t t = check_time(r);
        if (t < 0)
                reader_fail(r);
        return t;
}

int8_t check_status(struct reader *r)
{
        int8_t status = (int8_t)reader_u8(r);
        if (status > 0)
                reader_fail(r);
        return status;
}

uint8_t check_flags(struct reader *r, uint8_t known)
{
        uint8_t flags = reader_u8(r);
        if (flags & ~known)
                reader_fail(r);
        return flags;
}

void check_name(struct reader *r, char *dst, size_t cap, int (*ok)(const char *s), int may_be_empty)
{
        reader_str(r, dst, cap);
        if (!r->err && !ok(dst) && !(may_be_empty && !*dst))
                reader_fail(r);
}

const uint8_t *check_body(struct reader *r, uint32_t max, uint32_t *len)
{
        *len = reader_u32(r);
        if (*len > max)
                reader_fail(r);
        const uint8_t *bytes = reader_bytes(r, r->err ? 0 : *len);
        if (!bytes)
                *len = 0;
        return bytes;
}

void check_body_write(struct writer *w, const uint8_t *bytes, uint32_t len)
{
        writer_u32(w, len);
        writer_bytes(w, bytes, len);
}
