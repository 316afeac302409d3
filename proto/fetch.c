#include "proto/fetch.h"

#include <assert.h>
#include <string.h>

#include "common/err.h"
#include "proto/check.h"

/* A public path: '/' first, visible ASCII, none of the characters that begin a query, a parameter or a fragment. */
static int key_valid(const char *s)
{
        if (*s != '/')
                return 0;
        for (; *s; s++) {
                if (*s <= ' ' || *s > '~' || strchr("?&#", *s))
                        return 0;
        }
        return 1;
}

void fetch_encode(struct writer *w, const void *message)
{
        const struct fetch *m = message;
        writer_str(w, m->key);
        writer_u64(w, m->offset);
        writer_u32(w, m->wait_ms);
        writer_u8(w, m->hops);
}

int fetch_decode(struct reader *r, struct fetch *m)
{
        check_name(r, m->key, sizeof(m->key), key_valid, 0);
        m->offset = reader_u64(r);
        m->wait_ms = reader_u32(r);
        m->hops = reader_u8(r);
        if (m->offset > INT64_MAX || m->wait_ms > FETCH_WAIT_MAX_MS || m->hops > FETCH_HOPS_MAX)
                reader_fail(r);
        return reader_done(r);
}

static bool has_length_that_may_be(const struct fetch_reply *m)
{
        bool whole = m->offset == 0 && (m->flags & (FETCH_COMPLETE | FETCH_IMMUTABLE)) == FETCH_COMPLETE;
        return m->len <= (whole ? FETCH_WHOLE_MAX : BODY_MAX);
}

void fetch_reply_encode(struct writer *w, const void *message)
{
        const struct fetch_reply *m = message;
        assert(has_length_that_may_be(m));
        writer_u8(w, (uint8_t)m->status);
        writer_u8(w, m->flags);
        writer_u32(w, m->ttl_ms);
        writer_u64(w, m->offset);
        writer_str(w, m->content_type);
        check_body_write(w, m->bytes, m->len);
}

int fetch_reply_decode(struct reader *r, struct fetch_reply *m)
{
        m->status = check_status(r);
        m->flags = check_flags(r, FETCH_COMPLETE | FETCH_IMMUTABLE);
        m->ttl_ms = reader_u32(r);
        m->offset = reader_u64(r);
        if (m->offset > INT64_MAX)
                reader_fail(r);
        reader_str(r, m->content_type, sizeof(m->content_type));
        m->bytes = check_body(r, FETCH_WHOLE_MAX, &m->len);
        if (!has_length_that_may_be(m))
                reader_fail(r);
        return reader_done(r);
}

static void free_message(void *owner)
{
        nng_msg_free(owner);
}

int fetch_reply_take(int err, nng_msg *msg, uint64_t offset, struct fetch_reply *m, struct buf **bytes)
{
        struct reader r;
        *bytes = NULL;
        if (!err && (message_open(&r, msg) != MSG_FETCH_REPLY || fetch_reply_decode(&r, m) != 0 ||
                     (m->status == 0 && m->offset != offset)))
                err = ERR_PROTO;
        if (err)
                *m = (struct fetch_reply){0};
        if (!err && m->len > 0)
                *bytes = buf_wrap((uint8_t *)(uintptr_t)m->bytes, m->len, free_message, msg);
        else if (msg)
                nng_msg_free(msg);
        return err;
}
